"""What the guard and the saved states cost: a training with them, and the same without, in turn.

    python -m benchmarks.overhead --out runs/bench

Church on the miniature with the default settings; seconds of the clock and of the processor, which
other work on the machine changes less. The sets and the mask are made once, and count in neither.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, write_results
from erase import prepare, training
from erase.checkpoint import load_checkpoint
from erase.config import Erase
from erase.diffusion import trainable_parameters
from erase.interruption import Request
from erase.job import Job, plan_run
from erase.masking import build_mask
from erase.memory import TrainingPlan
from erase.options import DataConfig, SalUnConfig
from erase.team import ALONE
from erase.training import STATE


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    steps: int = 60
    """Training steps."""
    rounds: int = 5
    """Trainings of either kind."""


class _Nothing:
    """Looks at nothing and saves nothing."""

    def look(self, *_: Any) -> bool:
        """Never end."""
        return False


def main(options: Options) -> None:
    """Train both ways in turn; print, and write overhead.json and overhead.md."""
    job, how = _ready(options)
    runs: dict[str, Callable[[], object]] = {
        "guarded": lambda: training.train(job, how),
        "bare": lambda: training._steps(job, how, None, _Nothing(), Request()),  # type: ignore
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(options.rounds):
        for name in sorted(runs, reverse=bool(turn % 2)):
            (job.plan.out / STATE).unlink(missing_ok=True)
            training._restore_base(job)
            started = time.perf_counter(), time.process_time()
            runs[name]()
            ended = time.perf_counter(), time.process_time()
            seconds[name].append((ended[0] - started[0], ended[1] - started[1]))
    rows = []
    for kind, which in enumerate(("clock", "processor")):
        of = {name: median(times[kind] for times in found) for name, found in seconds.items()}
        percent = 100 * (of["guarded"] / of["bare"] - 1)
        rows.append([which, f"{of['bare']:.2f}", f"{of['guarded']:.2f}", f"{percent:+.1f} %"])
    head = ["median s of", "bare", "guarded and saved", "difference"]
    markdown = f"{options.steps} steps, {options.rounds} trainings each\n\n{table(head, rows)}"
    write_results(options, "overhead", {"seconds": seconds}, markdown)
    sys.stdout.write(markdown)


def _ready(options: Options) -> tuple[Job, TrainingPlan]:
    settled = Erase(
        concepts=("church",),
        salun=SalUnConfig(steps=options.steps),
        data=DataConfig(cache=options.out / ".cache"),
        out=options.out / "overhead",
    ).resolve()
    settings = settled.salun
    plan = prepare.make_plan("erase", settled, settings)
    Path(plan.out).mkdir(parents=True, exist_ok=True)
    sd = load_checkpoint(plan.source)
    parameters = trainable_parameters(sd.unet, settings.train_method or "full")
    forget = prepare.build_forget_set(sd, plan, "random", settings.seed)
    retain = prepare.build_retain_set(sd, plan, settings.seed)
    mask = build_mask(sd, parameters, forget, plan, settings, "saliency", ALONE)
    mask.save(plan.out / "mask.safetensors")
    held = prepare.held_prompts(sd, plan, retain, settings.batch_size or 1)
    job = Job(sd, parameters, mask, forget, retain, plan, settings, ALONE, guard=held, gone=None)
    return job, plan_run(job, None)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
