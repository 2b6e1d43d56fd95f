"""The share of the work that one process of `accelerate launch` does; alone, all of it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Process number `rank` of `count`; `wait` returns when every process has come to it."""

    rank: int = 0
    count: int = 1
    wait: Callable[[], object] = lambda: None

    @property
    def leads(self) -> bool:
        """Whether this process does what only one may do."""
        return self.rank == 0

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Every `count`-th item, from this process's own on: shares differ by one at most."""
        return items[self.rank :: self.count]


ALONE = Shard()


def current_shard() -> Shard:
    """As `accelerate launch --num_processes N` says; without it, the only one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    import torch
    from accelerate import PartialState
    from accelerate.utils import InitProcessGroupKwargs

    # A share may be hours behind another: the usual ten minutes' patience would end the run.
    patience = InitProcessGroupKwargs(timeout=timedelta(days=30))
    # Without a GPU it takes part in a launch only if it is told to.
    state = PartialState(cpu=not torch.cuda.is_available(), **patience.to_kwargs())
    return Shard(state.process_index, state.num_processes, state.wait_for_everyone)
