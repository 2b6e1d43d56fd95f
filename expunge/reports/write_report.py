"""Read a run and write its report."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from erase.run_folder.folder import read_run
from erase.run_folder.record import RunRecord
from erase.saliency.mask_chart import Share, summarise
from erase.saliency.mask_counts import read_mask_counts
from eval.kind.kind import Kind
from eval.kinds import KINDS
from eval.metrics.schema import Metric
from eval.report.data import BaseModel, MaskPart, RunFolder, read_run_data
from eval.report.markdown import render_markdown
from eval.report.page import render_html, verdict_of
from eval.report.training_end import Guard, Stopped, TrainingEnd
from expunge.reports.page_file import check_file, write_text
from expunge.reports.reproduce import run_command
from expunge.settings.report import Report
from plumbing.errors import UsageError
from plumbing.lock import locked, require_idle
from plumbing.privacy import public
from plumbing.record import parse_record, to_json

log = logging.getLogger(__name__)


def write_report(settings: Report, kinds: Sequence[Kind] = KINDS) -> dict[str, Any]:
    """Render and write without printing; returns the file and the run's verdict.

    `kinds` are the evaluations that are looked for. Bad input is a UsageError, and then nothing is
    written.
    """
    place, folder = settings.place, settings.run
    check_file(place, "--to")
    require_idle(folder, "RUN")
    data = read_run_data(describe(folder, published(read_run(folder))), kinds)
    verdict = verdict_of(data)
    with locked(place, "--to"):
        if settings.format == "md":
            text = render_markdown(data, verdict)
        else:
            text = render_html(data, images=not settings.no_images)
        write_text(place, text, "--to")
    told = {"level": verdict.level, "verdict": verdict.word, "sentence": verdict.sentence}
    return {"report": str(place), "format": settings.format, "run": data.run.name, **told}


def published(record: RunRecord) -> RunRecord:
    """The same with a folder's or file's own name instead of where it lies."""
    return parse_record(RunRecord, public(to_json(record)))


def describe(folder: Path, record: RunRecord) -> RunFolder:
    """A run folder in the report's own terms, its mask counted."""
    blocks, kinds = _mask(folder)
    command = run_command(record)
    base, stopped, guard, drawn = record.base, record.stopped, record.guard, record.drawn
    drift = guard.drift if guard else ()
    return RunFolder(
        folder,
        record.name or "unknown",
        record.command or "erase",
        record.method,
        record.concepts,
        BaseModel(base.id, base.digest, base.revision, base.variant, base.files),
        record.config,
        record.inputs.get("prompts"),
        TrainingEnd(
            stopped and Stopped(**asdict(stopped)),
            guard
            and Guard(
                guard.limit, tuple((n, x) for n, x in drift if x is not None and math.isfinite(x))
            ),
            drawn and Metric(**asdict(drawn)),
        ),
        record.mask,
        record.weights,
        record.versions,
        record.seconds,
        {stage: passes.denoiser for stage, passes in record.passes.items()},
        record.peak_memory_mb,
        record.finished,
        (command,) if command else (),
        blocks,
        kinds,
    )


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
