"""Rows in small files that several processes make: each its part, once, and the same as of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from erase.image_sets.shards import Shards, fill
from erase.tensors.sealed_file import Damaged
from plumbing.processes import Team

ALL = torch.randn(11, 2, 3, generator=torch.Generator().manual_seed(0))
BATCH = 3


@dataclass(frozen=True)
class Thread(Team):
    """A member that waits for threads, not processes."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def wait(self) -> None:
        """Until all are here."""
        self.barrier.wait(10)


def run(folder: Path, processes: int, fail_at: int | None = None) -> tuple[Shards, list[int]]:
    """The rows, and which of them were made now; a process that comes to `fail_at` is ended."""
    barrier, shards, made = threading.Barrier(processes), Shards(folder, len(ALL), BATCH), []

    def make(wanted: Sequence[range]) -> Iterator[torch.Tensor]:
        for rows in wanted:
            if fail_at in rows:
                barrier.abort()
                raise KeyboardInterrupt
            made.extend(rows)
            yield ALL[rows.start : rows.stop]

    def member(rank: int) -> None:
        try:
            fill(shards, make, Thread(rank, processes, barrier))
        except (KeyboardInterrupt, threading.BrokenBarrierError):
            assert fail_at is not None

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(member, range(processes)))
    return shards, sorted(made)


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything(shards: Shards) -> torch.Tensor:
    return shards[torch.arange(len(shards))]


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_the_files_are_those_of_one_process(tmp_path: Path, processes: int) -> None:
    shards, made = run(tmp_path / "several", processes)
    assert made == list(range(11)) and len(shards) == 11
    assert torch.equal(shards[torch.tensor([7, 0, 7, 10])], ALL[[7, 0, 7, 10]])
    run(tmp_path / "one", 1)
    assert tree(tmp_path / "several") == tree(tmp_path / "one")
    assert len(tree(tmp_path / "one")) == 4


@pytest.mark.parametrize("then", [1, 2, 3])
def test_after_a_kill_any_number_of_processes_makes_the_rest_and_nothing_is_left(
    tmp_path: Path, then: int
) -> None:
    folder = tmp_path / "killed"
    run(folder, 2, fail_at=7)
    # As SIGKILL leaves a file that was being written.
    (folder / ".000002.safetensors.partial").write_bytes(b"half")
    there = {int(path.stem) for path in folder.glob("0*")}
    shards, made = run(folder, then)
    assert made == [row for row in range(11) if row // BATCH not in there]
    assert 2 not in there and torch.equal(everything(shards), ALL)
    run(tmp_path / "one", 1)
    assert tree(folder) == tree(tmp_path / "one")


def test_a_damaged_file_is_named_and_only_its_rows_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards, _ = run(tmp_path, 1)
    before, path = tree(tmp_path), shards.path(4)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Damaged, match=f"{path.name} is damaged.*the same command makes it again"):
        everything(shards)
    assert torch.equal(shards[torch.tensor([1, 9])], ALL[[1, 9]])
    assert run(tmp_path, 1)[1] == [3, 4, 5]
    assert f"{path} is damaged" in caplog.text and tree(tmp_path) == before
    # A file of other rows is no less wrong for being sound.
    path.write_bytes(shards.path(0).read_bytes())
    assert run(tmp_path, 1)[1] == [3, 4, 5]
