"""A folder of evaluations of a model that no run made, as `expunge evaluate --out` leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.kind.kind import Kind
from eval.report.data import BaseModel, RunData, RunFolder, read_run_data
from plumbing.errors import UsageError
from plumbing.inside import require_no_way_out
from plumbing.json_file import read_object

_FILE = "evaluation.json"


def read_evaluated(folder: Path, kinds: Sequence[Kind]) -> RunData:
    """All that a folder tells of a model; UsageError if no evaluation is in it.

    An evaluation is looked for in the folder itself, and in `NAME` and `eval/NAME` below it.
    """
    if folder.is_file():
        raise UsageError(f"{folder}: is a file; give run folders, or folders of evaluations")
    require_no_way_out(folder)
    places = _places(folder, kinds)
    if not places:
        raise UsageError(
            f"{folder}: holds no run.json, and no evaluation.json in it or in "
            f"{', '.join(kind.name for kind in kinds)} below it; give a run folder, or the folder "
            "of an evaluation"
        )
    told = [kind.read(places[kind.name] / _FILE) for kind in kinds if kind.name in places]
    original = next((e.models["original"] for e in told if "original" in e.models), None)
    base = BaseModel(original["name"], original["sha256"]) if original else BaseModel()
    run = RunFolder(folder, _concept(told), command="evaluate", base=base)
    return read_run_data(run, kinds, places)


def _places(folder: Path, kinds: Sequence[Kind]) -> Mapping[str, Path]:
    """The folder of each kind's evaluation, as far as there is one."""
    found = {}
    for kind in kinds:
        below = [folder / kind.name, folder / "eval" / kind.name]
        own = [place for place in below if (place / _FILE).is_file()]
        own += [folder] if _kind_of(folder / _FILE) == kind.name else []
        if len(own) > 1:
            shown = " and ".join(str(place / _FILE) for place in own)
            raise UsageError(f"{shown}: two of one kind; which is meant? give a folder with one")
        if own:
            found[kind.name] = own[0]
    return found


def _kind_of(file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        return str(read_object(file).get("kind"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is not a readable evaluation: {error}") from error


def _concept(evaluations: Sequence[Any]) -> str:
    """What the first evaluation that says so looked for."""
    for found in evaluations:
        question = getattr(found, "concept", None)
        names = (question.name,) if question else tuple(getattr(found, "concepts", ()))
        if names:
            return " and ".join(names)
    return "unknown"
