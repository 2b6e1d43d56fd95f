"""Images that another evaluation of the same model has drawn already."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eval.generation.generate import Drawings, Row, answered, make_requests
from eval.generation.image_log import (
    Generation,
    image_path,
    read_generations,
    write_generations,
)
from plumbing.whole_files import whole


def adopt(
    rows: Sequence[Row], out: Path, drawing: Drawings, model_hash: str, others: Sequence[Path]
) -> None:
    """Link what is missing under `out` from the `others`, where the same was asked of the model."""
    done = read_generations(out)
    missing = [
        request
        for request in make_requests(rows, drawing, model_hash).values()
        if not answered(request, done)
    ]
    drawn = [(folder, g) for folder in others for g in read_generations(folder).values()]
    known = {_asked(generation): (folder, generation) for folder, generation in drawn}
    found = {}
    for request in missing:
        if place := known.get(_asked(request)):
            folder, generation = place
            link(image_path(folder, generation.id), image_path(out, request.id))
            found[request.id] = replace(generation, id=request.id)
    if found:
        write_generations(out, list({**done, **found}.values()))


def link(source: Path, target: Path) -> None:
    """Give an image a second name; copy it where links are not possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with whole(target, durable=False) as partial:
            shutil.copyfile(source, partial)


def _asked(generation: Generation) -> Generation:
    """All that decides an image, whatever it is called and whatever it took."""
    return replace(generation, id="", sha256="", seconds=0.0, passes=None)
