"""What run.json tells of a run at its beginning, once its training is planned, and at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from erase.export.denoiser import WEIGHTS
from erase.export.lora.run_lora import FILE as LORA
from erase.models.bundle import Bundle
from erase.run_folder.folder import write_run
from erase.run_folder.record import Guard, MaskPart, RunRecord, Training
from erase.saliency.mask import SaliencyMask
from erase.saliency.mask_chart import Share
from erase.training.memory import TrainingPlan
from erase.training.watch import LIMIT
from expunge.runs.provenance import peak_memory_mb, versions
from plumbing.errors import UsageError
from plumbing.passes import PARTS, PassCounter, Passes
from plumbing.processes import ALONE, Team
from plumbing.record import parse_record, to_json
from plumbing.whole_files import sha256_file


def begin(
    identity: Mapping[str, Any],
    asked: Mapping[str, Any] | None = None,
    before: RunRecord | None = None,
) -> RunRecord:
    """What is known before anything is computed; `before` is of the same run, unfinished.

    `identity` is the plan's; of what was `asked` all that is None was not.
    """
    chosen = {name: str(value) for name, value in (asked or {}).items() if value is not None}
    try:
        record = replace(parse_record(RunRecord, identity), asked=chosen)
    except ValueError as error:
        raise UsageError(f"a setting cannot be recorded: {error}; give another value") from error
    if before is None:
        return record
    spent = {"seconds": before.seconds, "passes": before.passes}
    return replace(record, drawn=before.drawn, training=before.training, **spent)


def planned(how: TrainingPlan, processes: int) -> Training:
    """How it was settled that the denoiser is trained."""
    return Training(**vars(how), processes=processes)


def watched(drift: Sequence[tuple[int, float]]) -> Guard:
    """What the quality guard measured; JSON has no word for a drift that is not finite."""
    return Guard(LIMIT, tuple((step, x if math.isfinite(x) else None) for step, x in drift))


def finish(record: RunRecord, mask: SaliencyMask, **found: Any) -> RunRecord:
    """The same at the end; `found` are further fields, by name."""
    return replace(
        record,
        mask={"kept": mask.kept, "total": mask.total, **dict(sorted(mask.metadata.items()))},
        versions=versions(),
        peak_memory_mb=peak_memory_mb(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **found,
    )


def hash_outputs(out: Path, denoiser: str) -> dict[str, str]:
    """sha256 by name of what an erasure leaves in its folder, and later commands rely on."""
    names = [f"{denoiser}/{WEIGHTS}", f"{denoiser}/config.json", "mask.safetensors"]
    names += [LORA] if (out / LORA).is_file() else []
    return {name: sha256_file(out / name) for name in names}


def mask_parts(shares: Sequence[Share]) -> tuple[MaskPart, ...]:
    """A mask's shares, by block or by kind of layer."""
    return tuple(MaskPart(s.part, s.kept, s.total, round(s.percent, 2)) for s in shares)


def told(out: Path, record: RunRecord) -> dict[str, Any]:
    """What `erase` and `mask` return: the folder, the record, and whether it is as was asked."""
    return {"out": str(out), **to_json(record), "passed": record.passed}


class Ledger:
    """What a run's record says so far, its bill included; only the leading process writes it."""

    def __init__(self, out: Path, record: RunRecord, team: Team = ALONE) -> None:
        """Start the clock; nothing is written yet."""
        self.out, self.record, self.team = out, record, team
        if not team.leads:
            # What was spent before is in the leader's.
            self.record = replace(record, seconds={}, passes={})
        self._counter, self._last, self._written = PassCounter(), time.perf_counter(), False

    def watch(self, sd: Bundle) -> None:
        """Count the passes of a model's parts from now on."""
        self._counter.watch("denoiser", sd.denoiser)
        self._counter.watch("image_encoder", sd.vae.encoder)
        self._counter.watch("image_decoder", sd.vae.decoder)
        for name in (name for name in sd.parts if name.startswith("text_encoder")):
            self._counter.watch("text_encoder", sd.parts[name])

    def lap(self, stage: str) -> None:
        """Book what was spent since the last lap under `stage`."""
        now, record = time.perf_counter(), self.record
        seconds = round(record.seconds.get(stage, 0) + now - self._last, 3)
        passes = record.passes.get(stage, Passes()) + self._counter.take()
        self._last = now
        self.record = replace(
            record,
            seconds={**record.seconds, stage: seconds},
            passes={**record.passes, stage: passes},
        )
        if self._written:
            self.note()

    def add_up(self, device: torch.device) -> None:
        """Make the passes those of all processes, each of which calls this once."""
        stages = self.record.passes
        counts = [getattr(passes, part) for passes in stages.values() for part in PARTS]
        sums = iter(self.team.total(counts, device))
        found = {stage: Passes(*(next(sums) for _ in PARTS)) for stage in stages}
        self.record = replace(self.record, passes=found)

    def note(self, **facts: Any) -> None:
        """Add what has become known, and write the record."""
        self.record = replace(self.record, **facts)
        if self.team.leads:
            write_run(self.out, self.record)
            self._written = True

    def finish(self, mask: SaliencyMask, facts: Mapping[str, Any]) -> RunRecord:
        """Write the record of a finished run, and return it."""
        self.record = finish(self.record, mask, **facts)
        write_run(self.out, self.record)
        return self.record
