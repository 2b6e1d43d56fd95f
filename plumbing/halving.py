"""Batches that shrink when memory runs out; knows neither torch nor what is drawn."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from plumbing.errors import UsageError

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Made = TypeVar("Made")


class Halving:
    """Does batches of work, in halves from where memory ran out on."""

    def __init__(
        self,
        what: str,
        *,
        too_much: Callable[[Exception], bool],
        release: Callable[[], object],
    ) -> None:
        """`too_much` knows the error of a lack of memory; `release` frees what it can."""
        self._what, self._too_much, self._release = what, too_much, release
        self._size: int | None = None

    def __call__(self, batch: Sequence[Item], work: Callable[[Sequence[Item]], Made]) -> list[Made]:
        """What `work` makes of the batch, a part a result; a batch of one too large is refused."""
        made: list[Made] = []
        start = 0
        while start < len(batch):
            part = batch[start : start + (self._size or len(batch))]
            try:
                made.append(work(part))
                start += len(part)
                continue
            except RuntimeError as error:
                if not self._too_much(error):
                    raise
                if len(part) == 1:
                    raise UsageError(
                        f"memory ran out while {self._what} one at a time; choose a smaller size "
                        "or --dtype, or take a machine with more memory"
                    ) from error
            # Out of the handler, whose traceback holds what there was no room for.
            self._size = len(part) // 2
            log.warning("memory ran out: %s %d at once from here on", self._what, self._size)
            self._release()
        return made
