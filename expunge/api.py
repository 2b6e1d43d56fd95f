"""The commands as plain functions: what `expunge NAME` calls, with its flags as keywords.

A flag `--forget-images 32` is `forget_images=32`; paths may be texts. Bad input is a
`plumbing.errors.UsageError`, raised before anything is written. Nothing is printed, but progress
goes to stderr as from the command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from expunge.settings.given import check_names, made_of


def erase_concept(*concepts: str, method: str = "salun", **flags: Any) -> dict[str, Any]:
    """Erase one or more concepts into a run folder, as `expunge erase` does.

    Gives the content of its run.json, its folder (`out`), and whether it `passed`. The same call
    again finds its finished run, or resumes an unfinished one.
    """
    words = ("--method", str(method))
    given = {"concepts": concepts, "method": method}
    return _run("erase:erase_command", "runs.erase:erase_concepts", flags, words, **given)


def build_mask(*concepts: str, **flags: Any) -> dict[str, Any]:
    """Build the saliency mask alone, as `expunge mask` does; gives its run.json and folder."""
    return _run("erase:Mask", "runs.mask:build", flags, concepts=concepts)


def evaluate_concept(target: str | Path, **flags: Any) -> dict[str, Any]:
    """Is the concept gone, and what else changed? Gives evaluation.json's content."""
    return _evaluated("evaluate:EvaluateConcept", "concept", target, flags)


def evaluate_attack(target: str | Path, **flags: Any) -> dict[str, Any]:
    """Can what was erased be brought back? Gives evaluation.json's content."""
    return _evaluated("evaluate_attack:EvaluateAttack", "attack", target, flags)


def evaluate_i2p(target: str | Path, **flags: Any) -> dict[str, Any]:
    """How much nudity do images of I2P's prompts show? Gives evaluation.json's content."""
    return _evaluated("evaluate_i2p:EvaluateI2P", "i2p", target, flags)


def evaluate_quality(target: str | Path, **flags: Any) -> dict[str, Any]:
    """Are other prompts drawn as well as before? Gives evaluation.json's content."""
    return _evaluated("evaluate:EvaluateQuality", "quality", target, flags)


def write_report(run: str | Path, **flags: Any) -> dict[str, Any]:
    """Write a run's report; gives the file and the verdict."""
    folder = (Path(run),)
    return _run("report:Report", "reports.write_report:write_report", flags, runs=folder)


def compare_runs(*runs: str | Path, **flags: Any) -> dict[str, Any]:
    """Set runs, or evaluations of any models, side by side; gives the file and the table."""
    folders = tuple(map(Path, runs))
    return _run("compare:Compare", "reports.write_comparison:compare_runs", flags, runs=folders)


def export_run(run: str | Path, **flags: Any) -> dict[str, Any]:
    """Write the erased model in a `format`, to a place (`to`); gives what was written."""
    return _run("export:Export", "exports.export:export_run", flags, target=Path(run))


def apply_deltas(*deltas: str | Path, **flags: Any) -> dict[str, Any]:
    """Make the erased model of a base (`model`) and deltas or LoRAs; gives what was written."""
    return _run("apply:Apply", "exports.apply:apply", flags, deltas=tuple(map(Path, deltas)))


def undo_deltas(model: str | Path, **flags: Any) -> dict[str, Any]:
    """Take deltas back: the base again, bit for bit; gives what was written."""
    return _run("apply:Undo", "exports.undo:undo", flags, model=str(model))


def verify(target: str | Path, **flags: Any) -> dict[str, Any]:
    """Check a run or what was exported of it; `passed` in the result says whether all is well."""
    return _run("verify:Verify", "verification.verify_run:verify", flags, target=Path(target))


def _evaluated(place: str, kind: str, target: str | Path, flags: Mapping[str, Any]) -> Any:
    found = _run(place, f"evaluations.{kind}:evaluate_{kind}", flags, target=str(target))
    return found and found[0].to_dict()


def _run(
    place: str, function: str, flags: Mapping[str, Any], words: Sequence[str] = (), **given: Any
) -> Any:
    """Make a command's settings of the flags and what was `given` by position, and call it."""
    found = _named(f"settings.{place}")
    settings = found if isinstance(found, type) else found(words)
    check_names(settings, flags, given)
    return _named(function)(made_of(settings, {**flags, **given}))


def _named(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(f"expunge.{module}"), name)
