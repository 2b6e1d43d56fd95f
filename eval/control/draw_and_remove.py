"""Control images that do not stay: drawn, looked at, removed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from eval.control.collapse import look_at_control
from eval.generation.generate import Drawing, generate
from eval.generation.pair import Subject
from eval.metrics.schema import Control
from plumbing.processes import current_team
from prompts.evaluation_rows import PromptRow

FOLDER = ".control"


def pass_control(
    rows: Sequence[PromptRow],
    original: Subject | None,
    erased: Subject,
    drawing: Drawing,
    *,
    batch_size: int,
    out: Path,
) -> Control | None:
    """What the control rows' images show, which lie in a folder of `out` no longer than it takes.

    After a kill they are found there and not drawn again. Of the processes of `accelerate launch`
    each draws its share, and only the first is told.
    """
    team, folder = current_team(), out / FOLDER
    for model, subject in (("original", original), ("erased", erased)):
        if subject and rows:
            generate(
                subject.open(),
                rows,
                folder / model,
                drawing,
                model_hash=subject.sha256,
                batch_size=batch_size,
                team=team,
            )
    if not team.leads:
        return None
    seen = look_at_control(rows, folder, paired=original is not None)
    shutil.rmtree(folder, ignore_errors=True)
    return seen
