"""What a training says of each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from erase.training.masked_optimizer import MaskedOptimizer


@dataclass(frozen=True)
class StepRow:
    """One training step, as `train_log.jsonl` has it."""

    step: int
    losses: Mapping[str, float]
    """Each term of the method's loss, by its name."""
    lr: float
    seconds: float


class Diverged(Exception):
    """A loss or a gradient is not finite: the weights are of no use from this step on."""

    def __init__(self, log: list[StepRow], optimizer: MaskedOptimizer) -> None:
        """`log` is of all steps, the last of which it was found in."""
        super().__init__(f"a loss or gradient is not finite at step {log[-1].step}")
        self.log, self.optimizer = log, optimizer
