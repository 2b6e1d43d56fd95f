"""Rows of numbers in a folder of small files, each whole or not there.

The processes of a launch write shards of their own, and whatever ends them, the next launch makes
those that are missing. No more than a shard is in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from erase.tensors.sealed_file import Damaged, open_sealed, write_sealed
from plumbing.processes import ALONE, Team

log = logging.getLogger(__name__)
Make = Callable[[Sequence[range]], Iterable[Tensor]]
"""Makes the rows of some shards, one shard after the other, [rows, …] each."""


@dataclass(frozen=True)
class Shards:
    """`count` rows of one shape in a folder, float32, `batch` of them in a file."""

    folder: Path
    count: int
    batch: int

    def __len__(self) -> int:
        """The number of rows, N."""
        return self.count

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Read some rows, int64 [B], into [B, …]; `Damaged` if one is not what was written."""
        wanted: list[int] = rows.tolist()
        found: dict[int, Tensor] = {}
        try:
            for shard in {row // self.batch for row in wanted}:
                found |= self._read({row for row in wanted if row // self.batch == shard})
        except Damaged as error:
            raise Damaged(f"{error}; the same command makes it again") from error
        return torch.stack([found[row] for row in wanted])

    def _read(self, rows: Collection[int]) -> dict[int, Tensor]:
        with open_sealed(self.path(min(rows))) as file:
            return {row: file[str(row)] for row in rows}

    def path(self, row: int) -> Path:
        """The file that a row is in."""
        return self.folder / f"{row // self.batch:06}.safetensors"

    def missing(self) -> list[range]:
        """The rows of each shard that is not there, or not sound, which is told."""
        starts = range(0, self.count, self.batch)
        shards = [range(start, min(start + self.batch, self.count)) for start in starts]
        return [rows for rows in shards if not self._is_sound(rows)]

    def _is_sound(self, rows: range) -> bool:
        try:
            self._read(rows)
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("%s: making it again", error)
            return False
        return True


def fill(
    shards: Shards,
    make: Make,
    team: Team = ALONE,
    progress: Callable[[int], object] = lambda rows: None,
) -> Shards:
    """Make the shards that are missing, each process its part; returns when all are there.

    `progress` is told of this process's part of the rows that are there already.
    """
    missing = shards.missing()
    there = len(shards) - sum(map(len, missing))
    if there:
        log.info("%d of %d rows from %s", there, len(shards), shards.folder)
    progress(there // team.count)
    # Nobody writes before all have looked: every process sees the same as missing.
    team.wait()
    shards.folder.mkdir(parents=True, exist_ok=True)
    own = team.part(missing)
    for rows, made in zip(own, make(own), strict=True):
        tensors = {str(row): tensor for row, tensor in zip(rows, made.float(), strict=True)}
        write_sealed(shards.path(rows.start), tensors, {})
    team.wait()
    for path in (shards.path(rows.start) for rows in missing):
        if not path.is_file():
            raise OSError(f"{path}: written, and not there; do the processes share this folder?")
    return shards
