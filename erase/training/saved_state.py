"""The state of a training on disk: saved every so often, checked, and gone on from to the bit."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from erase.tensors.sealed_file import open_sealed, write_sealed
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow

log = logging.getLogger(__name__)
SHARE = 100
"""A saving may take one of so many seconds."""


@dataclass(frozen=True)
class State:
    """A training after some steps."""

    rows: list[StepRow]
    tensors: Mapping[str, Tensor]
    """As `MaskedOptimizer.state` gives them."""
    drift: list[tuple[int, float]]
    """Of the quality guard: after which step, how much."""


class Keeper:
    """Saves the state of a training in one file, seldom enough to cost at most 1 % of the time."""

    def __init__(self, path: Path, key: str, environment: Mapping[str, str]) -> None:
        """`key` tells trainings apart: only the same one goes on from the file.

        It does so only in the same `environment`, what the last bits depend on; else it says why.
        """
        self.path, self.key, self.environment = path, key, dict(environment)
        self.saved: Callable[[], object] = lambda: None
        """Called after each saving."""
        self._next = 0.0
        self._told = False

    def save(
        self,
        rows: list[StepRow],
        optimizer: MaskedOptimizer,
        drift: list[tuple[int, float]] | None = None,
        *,
        now: bool = True,
    ) -> None:
        """Save `now`, or if it is time; the file is whole or not there."""
        started = time.monotonic()
        if not now and started < self._next:
            return
        tensors = optimizer.state()
        metadata = {
            "key": self.key,
            "environment": json.dumps(self.environment),
            "rows": json.dumps([asdict(row) for row in rows]),
            "drift": json.dumps(drift or []),
        }
        write_sealed(self.path, tensors, metadata)
        self.saved()
        ended = time.monotonic()
        self._next = ended + SHARE * (ended - started)

    def load(self) -> State | None:
        """What was saved of this very training; None if nothing was, or if it is damaged."""
        try:
            with open_sealed(self.path) as file:
                said = file.metadata
                if said["key"] != self.key or not self._same(json.loads(said["environment"])):
                    return None
                return State(
                    rows=[StepRow(**row) for row in json.loads(said["rows"])],
                    tensors={name: file[name] for name in file.names},
                    drift=[(int(step), float(value)) for step, value in json.loads(said["drift"])],
                )
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s: training from the beginning", error)
        return None

    def _same(self, saved: Mapping[str, str]) -> bool:
        different = [
            f"{what} {saved.get(what)}, now {now}"
            for what, now in self.environment.items()
            if saved.get(what) != now
        ]
        if different and not self._told:
            self._told = True
            told = f"{self.path} was saved with {'; '.join(different)}"
            log.warning("%s: training from the beginning, for the same result to the bit", told)
        return not different
