"""A file of rows that the processes of a team make together, each its share of the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from erase.tensors.row_file import Rows, open_rows, write_rows
from plumbing.processes import Team

Make = Callable[[int, int], Iterable[Tensor]]
"""Gives the rows from the first number up to the second, a batch at a time."""


def write_together(
    path: Path,
    key: str,
    count: int,
    batch: int,
    make: Make,
    team: Team,
    progress: Callable[[int], object] = lambda rows: None,
) -> Rows:
    """As `write_rows`; every process returns when the file is whole.

    Batches are those of one process, so the rows are, too. What a process has made is in a file of
    its own until the leader joins them: after a kill each goes on with its own. `progress` is told
    of the rows that are there already.
    """
    first, last = share(count, batch, team)
    own = path if team.count == 1 else _part(path, team.rank, team.count)

    def rest(done: int) -> Iterable[Tensor]:
        progress(done)
        return make(first + done, last)

    if first < last and open_rows(own, key) is None:
        write_rows(own, key, last - first, batch, rest)
    team.wait()
    if team.leads:
        if team.count > 1:
            parts = [_part(path, rank, team.count) for rank in range(team.count)]
            write_rows(path, key, count, batch, lambda done: _join(parts, key, done, batch))
        for left in path.parent.glob(f"{path.stem}.part-*"):
            left.unlink()
    team.wait()
    rows = open_rows(path, key)
    if rows is None:
        raise OSError(f"{path}: written, and not there; do the processes share this folder?")
    return rows


def share(count: int, batch: int, team: Team) -> tuple[int, int]:
    """The first row that a process makes, and the one after its last; whole batches."""
    batches = -(-count // batch)
    first, last = (batches * number // team.count * batch for number in (team.rank, team.rank + 1))
    return min(first, count), min(last, count)


def _part(path: Path, rank: int, processes: int) -> Path:
    return path.with_name(f"{path.stem}.part-{rank + 1}-of-{processes}{path.suffix}")


def _join(parts: list[Path], key: str, start: int, batch: int) -> Iterator[Tensor]:
    """The rows of the parts from `start` on, a batch at a time."""
    for part in parts:
        # With fewer batches than processes some have none.
        rows = open_rows(part, key) if part.is_file() else None
        if rows is None:
            continue
        for first in range(start, len(rows), batch):
            yield rows[torch.arange(first, min(first + batch, len(rows)))]
        start = max(0, start - len(rows))
