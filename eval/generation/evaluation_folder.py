"""The folder of an evaluation: can it be written, what did it hold before."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.processes import current_team
from plumbing.whole_files import clear_partials


def prove_writable(flag: str, folder: Path) -> None:
    """Make the folder; UsageError naming the flag if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".expunge-probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{flag} {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


MODELS = ("original", "erased")
"""Folders of images."""


def start_folder(
    out: Path,
    originals: Path,
    files: Iterable[str],
    models: Iterable[str] = MODELS,
    *,
    overwrite: bool,
) -> None:
    """Prove that both folders can be written; with `overwrite` clear what `out` held before.

    `files` are what an evaluation leaves in `out` beside the images of `models`.
    """
    prove_writable("--out", out)
    prove_writable("--originals", originals)
    team = current_team()
    if team.leads:
        clear_partials(out)
    if overwrite and team.leads:
        clear(out, files, models)
    team.wait()


def clear(out: Path, files: Iterable[str], models: Iterable[str] = MODELS) -> None:
    """Remove an earlier evaluation, its files and the models' images, and nothing else."""
    for name in files:
        (out / name).unlink(missing_ok=True)
    for name in models:
        shutil.rmtree(out / name, ignore_errors=True)


def refuse_other(out: Path, differences: Sequence[str]) -> None:
    """UsageError if the evaluation in `out` differs from the one that is asked for."""
    if differences:
        raise UsageError(
            f"--out {out}: holds another evaluation (it differs in {', '.join(differences)}); "
            "choose another folder or add --overwrite"
        )
