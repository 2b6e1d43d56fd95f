"""What the guard and the saved states cost: their seconds within a training, and its others.

    python -m benchmarks.overhead --out runs/bench

Church on the miniature with the default settings. The sets and the mask are made once, and count in
neither. Timed from within, for two trainings in turn differ by 10 % and more where other machines
share the processor.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tyro

from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, write_results
from erase.methods.salun import METHOD
from erase.models.checkpoint import load_checkpoint
from erase.training.drift import DriftProbe
from erase.training.memory import TrainingPlan
from erase.training.saved_state import Keeper
from erase.training.watch import Watch
from expunge.runs.job import Job
from expunge.runs.mask import build_mask
from expunge.runs.plan import make_plan
from expunge.runs.room import plan_run
from expunge.runs.sets import build_forget_set, build_retain_set, held_prompts
from expunge.runs.train import STATE, _restore_base, train
from expunge.settings.erase import Erase
from expunge.settings.groups import DataFlags
from expunge.settings.salun import SalUnFlags
from plumbing.processes import ALONE


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    steps: int = 100
    """Training steps."""
    rounds: int = 3
    """Trainings."""


class Stopwatch:
    """Adds up the seconds that some functions take, while none of the others is running."""

    def __init__(self) -> None:
        """At rest."""
        self.seconds = 0.0
        self._running = False

    @contextmanager
    def over(self, *places: tuple[Any, str]) -> Iterator[None]:
        """Time these functions of classes for as long as the block lasts."""
        with ExitStack() as stack:
            for owner, name in places:
                given = owner.__dict__[name]
                timed = self._timed(getattr(owner, name))
                setattr(
                    owner, name, staticmethod(timed) if isinstance(given, staticmethod) else timed
                )
                stack.callback(setattr, owner, name, given)
            yield

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            if self._running:
                return function(*given, **named)
            self._running, started = True, time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self._running = False
                self.seconds += time.perf_counter() - started

        return timed


def main(options: Options) -> None:
    """Train some times; print, and write overhead.json and overhead.md."""
    job, how = _ready(options)
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        (job.plan.out / STATE).unlink(missing_ok=True)
        _restore_base(job)
        watch, started = Stopwatch(), time.perf_counter()
        with watch.over((DriftProbe, "of"), (Watch, "look"), (Keeper, "load")):
            train(job, how)
        rounds.append({"all": time.perf_counter() - started, "guard": watch.seconds})
    rows = [
        [str(i), f"{r['all']:.2f}", f"{r['guard']:.2f}", f"{_percent(r):.1f} %"]
        for i, r in enumerate(rounds, 1)
    ]
    rows.append(["median", "", "", f"{median(map(_percent, rounds)):.1f} %"])
    head = [f"{options.steps} steps", "training, s", "guard and states, s", "of the rest"]
    markdown = table(head, rows)
    write_results(options, "overhead", {"seconds": rounds}, markdown)
    sys.stdout.write(markdown)


def _percent(seconds: dict[str, float]) -> float:
    return 100 * seconds["guard"] / (seconds["all"] - seconds["guard"])


def _ready(options: Options) -> tuple[Job, TrainingPlan]:
    command = Erase(
        concepts=("church",),
        settings=SalUnFlags(steps=options.steps),
        data=DataFlags(cache=options.out / ".cache"),
        out=options.out / "overhead",
    )
    plan = make_plan("erase", command)
    settings = plan.settings
    Path(plan.out).mkdir(parents=True, exist_ok=True)
    sd = load_checkpoint(plan.source)
    parameters = sd.trainable(settings.train_method)
    forget = build_forget_set(sd, plan, plan.concept.relabel_candidates, settings.seed)
    retain = build_retain_set(sd, plan, settings.seed)
    mask = build_mask(sd, parameters, {"forget": forget}, plan, settings, "saliency", ALONE)
    mask.save(plan.out / "mask.safetensors")
    held = held_prompts(sd, plan, retain)
    sets = {"forget": forget, "retain": retain}
    job = Job(METHOD, sd, parameters, mask, sets, plan, ALONE, guard=held, gone=None)
    return job, plan_run(job, parameters, mask.kept, None)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
