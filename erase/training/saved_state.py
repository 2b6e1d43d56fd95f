"""The state of a training on disk: saved every so often, checked, and gone on from to the bit."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from erase.tensors.bits import raw_bytes
from erase.tensors.writing import write_tensors
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow

log = logging.getLogger(__name__)
_SHARE = 100
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

    def __init__(self, path: Path, key: str) -> None:
        """`key` tells trainings apart: only the same one goes on from the file."""
        self.path, self.key = path, key
        self._next = 0.0

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
            "rows": json.dumps([asdict(row) for row in rows]),
            "drift": json.dumps(drift or []),
            "crc32": json.dumps({name: _sum(tensor) for name, tensor in tensors.items()}),
        }
        write_tensors(self.path, tensors, metadata)
        ended = time.monotonic()
        self._next = ended + _SHARE * (ended - started)

    def load(self) -> State | None:
        """What was saved of this very training; None if nothing was, or if it is damaged."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                if header["key"] != self.key:
                    return None
                # Copies, since the file is replaced while they are in use.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            if {name: _sum(tensor) for name, tensor in tensors.items()} != json.loads(
                header["crc32"]
            ):
                raise ValueError("its checksums are wrong")
            rows = [StepRow(**row) for row in json.loads(header["rows"])]
            drift = [(int(step), float(value)) for step, value in json.loads(header["drift"])]
            return State(rows, tensors, drift)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            log.warning("%s is damaged (%s): training from the beginning", self.path, error)
            return None


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(raw_bytes(tensor))
