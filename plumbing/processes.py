"""The processes of `accelerate launch` that share one piece of work; without it, one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from plumbing.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Process number `rank` of `count`."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process does what only one may do: write, report, train for all."""
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Every `count`-th item, from this process's own on: shares differ by one at most."""
        return items[self.rank :: self.count]

    def share(self, costs: Sequence[float]) -> list[int]:
        """Which of some items of unlike costs this process takes, ascending.

        The dearest first, each goes to whoever has least, the lowest rank of several: so no process
        has more than the others but for its last item.
        """
        sums, own = [0.0] * self.count, list[int]()
        for item in sorted(range(len(costs)), key=lambda item: (-costs[item], item)):
            least = sums.index(min(sums))
            sums[least] += costs[item]
            if least == self.rank:
                own.append(item)
        return sorted(own)

    def wait(self) -> None:
        """Return when every process has come to this line."""
        if self.count > 1:
            from torch import distributed

            distributed.barrier()

    def add(self, tensor: Tensor) -> None:
        """Make a tensor, in place, the sum of what every process has under it."""
        if self.count > 1:
            from torch import distributed

            distributed.all_reduce(tensor)

    def total(self, counts: Sequence[int], device: torch.device) -> list[int]:
        """Whole numbers, each the sum of every process's at its place."""
        if self.count == 1:
            return list(counts)
        import torch

        sums = torch.tensor(counts, dtype=torch.float64, device=device)
        self.add(sums)
        return [int(value) for value in sums.tolist()]

    def any(self, word: bool, device: torch.device) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return word
        import torch

        told = torch.tensor(float(word), device=device)
        self.add(told)
        return bool(told)

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader do a block alone, and the others when it is done."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()


ALONE = Team()


def sole(found: T | None) -> T:
    """What work gave that gives None in a process that does not lead; a UsageError there."""
    if found is None:
        raise UsageError("this is for one process: start it without `accelerate launch`")
    return found


def current_team() -> Team:
    """As `accelerate launch --num_processes N` says; without it, this process alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    import torch
    from accelerate import PartialState
    from accelerate.utils import InitProcessGroupKwargs

    # One process may be hours behind another: the usual ten minutes' patience would end the run.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=30))
    # Without a GPU it takes part in a launch only if it is told to.
    state = PartialState(cpu=not torch.cuda.is_available(), **patience.to_kwargs())
    return Team(state.process_index, state.num_processes)
