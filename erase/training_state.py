"""The state of a training on disk: saved every so often, checked, and gone on from to the bit."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from erase.methods.salun import StepRow
from erase.optim import MaskedOptimizer
from erase.tensor_file import write_tensors
from erase.weights import raw_bytes

log = logging.getLogger(__name__)
EVERY = 60.0
"""Seconds between two savings, at least."""
_SHARE = 50
"""A saving may take one of so many seconds."""

State = tuple[list[StepRow], Mapping[str, Tensor]]


class Keeper:
    """Saves the state of a training in one file, seldom enough to cost at most 2 % of the time."""

    def __init__(self, path: Path, key: str) -> None:
        """`key` tells trainings apart: only the same one goes on from the file."""
        self.path, self.key = path, key
        self._next = time.monotonic() + EVERY

    def after_step(self, rows: list[StepRow], optimizer: MaskedOptimizer) -> None:
        """Save if it is time."""
        if time.monotonic() >= self._next:
            self.save(rows, optimizer)

    def save(self, rows: list[StepRow], optimizer: MaskedOptimizer) -> None:
        """Save now; the file is whole or not there."""
        started = time.monotonic()
        tensors = optimizer.state()
        metadata = {
            "key": self.key,
            "rows": json.dumps([asdict(row) for row in rows]),
            "crc32": json.dumps({name: _sum(tensor) for name, tensor in tensors.items()}),
        }
        write_tensors(self.path, tensors, metadata)
        ended = time.monotonic()
        self._next = ended + max(EVERY, _SHARE * (ended - started))

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
            return [StepRow(**row) for row in json.loads(header["rows"])], tensors
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            log.warning("%s is damaged (%s): training from the beginning", self.path, error)
            return None


def _sum(tensor: Tensor) -> int:
    return zlib.crc32(raw_bytes(tensor))
