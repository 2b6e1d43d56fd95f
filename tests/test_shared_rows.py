"""Rows that several processes make: each its share, once, and the file that one would write."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from erase.image_sets.shared_rows import share, write_together
from erase.tensors.row_file import write_rows
from plumbing.processes import Team

ALL = torch.randn(11, 2, generator=torch.Generator().manual_seed(0))
BATCH = 3


@dataclass(frozen=True)
class Thread(Team):
    """A member that waits for threads, not processes."""

    barrier: threading.Barrier | None = None

    def wait(self) -> None:
        """Until all are here."""
        if self.barrier:
            self.barrier.wait(10)


def run(folder: Path, processes: int, made: list[int], fail_at: int | None = None) -> list[object]:
    """What each member returned, or raised; `made` gets every row that was made."""
    barrier = threading.Barrier(processes)

    def make(first: int, last: int) -> Iterator[torch.Tensor]:
        for start in range(first, last, BATCH):
            if start == fail_at:
                barrier.abort()
                raise KeyboardInterrupt
            made.extend(range(start, min(start + BATCH, last)))
            yield ALL[start : min(start + BATCH, last)]

    def member(rank: int) -> object:
        team = Thread(rank, processes, barrier)
        try:
            return write_together(folder / "rows.safetensors", "k", 11, BATCH, make, team)
        except (KeyboardInterrupt, threading.BrokenBarrierError) as error:
            return error

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(member, range(processes)))


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_the_file_is_that_of_one_process(tmp_path: Path, processes: int) -> None:
    alone = tmp_path / "alone.safetensors"
    write_rows(alone, "k", 11, BATCH, lambda start: ALL[start:].split(BATCH))
    made: list[int] = []
    run(tmp_path, processes, made)
    assert sorted(made) == list(range(11))
    whole = alone.read_bytes()
    assert (tmp_path / "rows.safetensors").read_bytes() == whole
    assert len(list(tmp_path.iterdir())) == 2


def test_after_a_kill_each_goes_on_with_its_own(tmp_path: Path) -> None:
    made: list[int] = []
    # The second of two makes rows 6 to 10 and is ended before the ninth.
    run(tmp_path, 2, made, fail_at=9)
    assert sorted(made) == list(range(9))
    made.clear()
    rows = run(tmp_path, 2, made)[1]
    assert made == [9, 10]
    assert torch.equal(rows[torch.arange(11)], ALL)  # type: ignore[index]


def test_shares_are_whole_batches_and_leave_nothing_out() -> None:
    shares = [share(11, BATCH, Team(rank, 3)) for rank in range(3)]
    assert shares == [(0, 3), (3, 6), (6, 11)]
    assert share(2, 4, Team(0, 2)) == (0, 0) and share(2, 4, Team(1, 2)) == (0, 2)
