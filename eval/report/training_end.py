"""How a run's training ended and what was known before it, as run.json tells; no torch."""

from dataclasses import dataclass

from eval.metrics.schema import Metric
from plumbing.visible_text import plain

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
