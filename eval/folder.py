"""The folder of an evaluation: can it be written, what did it hold before."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from prompts.errors import UsageError


def prove_writable(flag: str, folder: Path) -> None:
    """Make the folder; UsageError naming the flag if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".expunge-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{flag} {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from error


def clear(out: Path, files: Iterable[str]) -> None:
    """Remove an earlier evaluation, its files and both models' images, and nothing else."""
    for name in files:
        (out / name).unlink(missing_ok=True)
    for name in ("original", "erased"):
        shutil.rmtree(out / name, ignore_errors=True)


def refuse_other(out: Path, differences: Sequence[str]) -> None:
    """UsageError if the evaluation in `out` differs from the one that is asked for."""
    if differences:
        raise UsageError(
            f"--out {out}: holds another evaluation (it differs in {', '.join(differences)}); "
            "choose another folder or add --overwrite"
        )
