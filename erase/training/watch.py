"""What is looked at every few steps of a training: drift, whether the concept is gone; saving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from erase.training.drift import DriftProbe
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.saved_state import Keeper
from erase.training.step_log import StepRow
from plumbing.processes import Team

EVERY = 10
"""Steps from one look to the next."""
LIMIT = 1.0
"""Drift at which the guard ends a training: as if every prompt had been exchanged for another."""

Gone = Callable[[], bool]
"""Draws and judges: does the denoiser, as it is now, no longer draw the concept?"""


class Watch:
    """Looks at a denoiser every `EVERY` steps; what is saved has passed."""

    def __init__(
        self,
        unet: Any,
        keeper: Keeper,
        guard: DriftProbe | None,
        gone: Gone | None,
        team: Team,
        drift: list[tuple[int, float]],
    ) -> None:
        """`gone` is asked in the leading process alone; `drift` is what an earlier part found."""
        self._unet, self._keeper, self._team = unet, keeper, team
        self._guard, self._gone = guard, gone
        self.drift = drift
        self.reason: Literal["drift", "erased"] | None = None

    def look(self, rows: list[StepRow], optimizer: MaskedOptimizer, steps: int) -> bool:
        """Whether to end after this step."""
        if len(rows) % EVERY and len(rows) != steps:
            return False
        if not self._passes(len(rows)):
            self.reason = "drift"
        elif self._gone and self._team.any(self._asked(), self._unet.device):
            self.reason = "erased"
        if self.reason is None and self._team.leads:
            self._keeper.save(rows, optimizer, self.drift, now=False)
        return self.reason is not None

    def save(self, rows: list[StepRow], optimizer: MaskedOptimizer) -> int:
        """Save this step's state if it passes, before an interruption; the step to go on after."""
        if self._passes(len(rows), noted=False):
            if self._team.leads:
                self._keeper.save(rows, optimizer, self.drift)
            return len(rows)
        state = self._keeper.load()
        return len(state.rows) if state else 0

    def _passes(self, step: int, *, noted: bool = True) -> bool:
        if self._guard is None:
            return True
        drift = self._guard.measure(self._unet)
        if noted:
            self.drift.append((step, round(drift, 6)))
        # Another process may round to the other side.
        return not self._team.any(not drift <= LIMIT, self._unet.device)

    def _asked(self) -> bool:
        return self._team.leads and self._gone is not None and self._gone()
