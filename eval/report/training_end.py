"""How a run's training ended and what was known before it, as run.json tells; no torch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eval.metrics.schema import Metric, parse_metric
from plumbing.errors import UsageError
from plumbing.visible_text import plain

T = TypeVar("T")

_WHY = {
    "drift": "the quality guard found that predictions for other prompts had drifted too far",
    "not finite": "the training met values that are not finite",
    "erased": "the concept was found gone",
}
"""What stopped a training, by its reason."""
HARDLY_DRAWN = 50.0
"""Percent of the original's images that show the concept, below which little is to be erased."""


@dataclass(frozen=True)
class Stopped:
    """A training that ended before its last step."""

    reason: str
    """`drift`, `not finite` or `erased`."""
    step: int
    """Where it stopped."""
    kept_step: int
    """The step whose weights the run has; 0: the original's."""
    steps: int
    """How many it would have made."""
    told: str
    """The run's own sentence on it."""

    @property
    def sentence(self) -> str:
        """All of it for a reader who was not there."""
        why = _WHY.get(self.reason, plain(self.reason, 80))
        kept = f"those of step {self.kept_step}" if self.kept_step else "the original's, unchanged"
        told = f" {plain(self.told)}" if self.told.strip() else ""
        return (
            f"The training stopped at step {self.step} of {self.steps}: {why}. The weights are "
            f"{kept}.{told}"
        )


@dataclass(frozen=True)
class Guard:
    """What the quality guard measured while the training went on."""

    limit: float
    drift: tuple[tuple[int, float], ...]
    """Step and drift, those that are finite."""


@dataclass(frozen=True)
class TrainingEnd:
    """What run.json says of a training beside its settings; older runs say nothing of it."""

    stopped: Stopped | None = None
    guard: Guard | None = None
    drawn: Metric | None = None
    """Percent of the original's own images that showed the concept to the judge, beforehand."""

    @property
    def rolled_back(self) -> bool:
        """Whether the weights are the original's, so that nothing can have been erased."""
        return self.stopped is not None and self.stopped.kept_step == 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said beside the verdict."""
        found = [self.stopped.sentence] if self.stopped else []
        if self.drawn and self.drawn.value < HARDLY_DRAWN:
            low, high = self.drawn.ci95
            found.append(
                f"Before the training the judge saw the concept in only {self.drawn.value:.1f} % "
                f"of the original's own {self.drawn.n} images [{low:.1f}, {high:.1f}]: there was "
                "little to erase."
            )
        return tuple(found)


def read_training_end(folder: Path, record: Mapping[str, Any]) -> TrainingEnd:
    """The training's end as `record`, the content of `folder`'s run.json, has it.

    UsageError for anything else than what a run writes: it decides whether a page may say "Erased".
    """

    def read(name: str, parse: Callable[[Any], T]) -> T | None:
        if record.get(name) is None:
            return None
        try:
            return parse(record[name])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"{folder / 'run.json'}: its `{name}` is not what a run writes there; "
                "was it edited?"
            ) from error

    return TrainingEnd(read("stopped", _stopped), read("guard", _guard), read("drawn", _drawn))


def _stopped(data: Mapping[str, Any]) -> Stopped:
    step, kept, steps = (_count(data[name]) for name in ("step", "kept_step", "steps"))
    if kept > step:
        raise ValueError("weights of a step that was not reached")
    return Stopped(str(data["reason"]), step, kept, steps, str(data.get("told", "")))


def _guard(data: Mapping[str, Any]) -> Guard:
    points = [(_count(step), float(value)) for step, value in data["drift"] if value is not None]
    limit = float(data["limit"])
    if not math.isfinite(limit):
        raise ValueError("a limit that is none")
    return Guard(limit, tuple(point for point in points if math.isfinite(point[1])))


def _drawn(data: Mapping[str, Any]) -> Metric | None:
    metric = parse_metric(data)
    if metric and not all(math.isfinite(x) for x in (metric.value, metric.n, *metric.ci95)):
        raise ValueError("a share that is none")
    return metric


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of steps")
    return value
