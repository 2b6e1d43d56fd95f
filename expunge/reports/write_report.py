"""Read a run and write its report."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from erase.run_folder.folder import read_run
from erase.saliency.mask_chart import Share, summarise
from erase.saliency.mask_counts import read_mask_counts
from eval.kind.kind import Kind
from eval.kinds import KINDS
from eval.report.data import MaskPart, RunData, RunFolder, read_run_data
from eval.report.markdown import render_markdown
from eval.report.page import render_html, verdict_of
from expunge.reports.reproduce import run_command
from expunge.settings.report import Report
from plumbing.errors import UsageError
from plumbing.lock import locked, require_idle
from plumbing.privacy import public
from plumbing.whole_files import replace_file

log = logging.getLogger(__name__)


def write_report(settings: Report, kinds: Sequence[Kind] = KINDS) -> dict[str, Any]:
    """Render and write without printing; returns the file and each run's verdict.

    `kinds` are the evaluations that are looked for. Bad input is a UsageError, and then nothing is
    written.
    """
    place = settings.place
    _check_place(place)
    for folder in settings.runs:
        require_idle(folder, "RUN")
    runs = [
        read_run_data(describe(folder, public(read_run(folder, whole=False))), kinds)
        for folder in settings.runs
    ]
    with locked(place, "--to"):
        return _write(settings, runs, place)


def _write(settings: Report, runs: Sequence[RunData], place: Path) -> dict[str, Any]:
    """Do it at a place that is this process's alone."""
    verdicts = [verdict_of(data) for data in runs]
    if settings.format == "md":
        text = render_markdown(runs, verdicts)
    else:
        text = render_html(runs, images=not settings.no_images)
    try:
        # A prompt may hold half of a surrogate pair, which no file can.
        replace_file(place, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise _unwritable(place, error) from error
    entries = [
        {"run": data.run.name, "level": v.level, "verdict": v.word, "sentence": v.sentence}
        for data, v in zip(runs, verdicts, strict=True)
    ]
    return {"report": str(place), "format": settings.format, "runs": entries}


def _check_place(place: Path) -> None:
    if place.is_dir():
        raise UsageError(f"--to {place}: is a folder; name a file in it")


def _unwritable(place: Path, error: OSError) -> UsageError:
    return UsageError(f"--to {place}: cannot be written ({error.strerror}); choose another file")


def describe(folder: Path, record: dict[str, Any]) -> RunFolder:
    """A run folder in plain data, its mask counted; `record` is the content of its run.json."""
    blocks, kinds = _mask(folder)
    command = run_command(record)
    return RunFolder(folder, record, (command,) if command else (), blocks, kinds)


def _mask(folder: Path) -> tuple[tuple[MaskPart, ...], ...]:
    """Shares by block and by kind of layer; empty without a mask that can be read."""
    path = folder / "mask.safetensors"
    try:
        blocks, kinds = summarise(read_mask_counts(path)) if path.is_file() else ([], [])
    except UsageError as error:
        log.warning("%s; the report goes without it", error)
        blocks, kinds = [], []
    return _parts(blocks), _parts(kinds)


def _parts(shares: Sequence[Share]) -> tuple[MaskPart, ...]:
    return tuple(MaskPart(share.part, share.kept, share.total) for share in shares)
