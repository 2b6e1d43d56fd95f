"""SIGINT and SIGTERM: work ends at a point from which it can go on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Somebody asked the process to end; `number` is the signal's."""

    def __init__(self, number: int, note: str = "") -> None:
        """`note` says what was kept."""
        super().__init__(note)
        self.number = number


class Request:
    """Whether a signal has come since the block began."""

    number: int | None = None


@contextmanager
def deferred() -> Iterator[Request]:
    """Within the block a first SIGINT or SIGTERM is noted alone; a second one ends the process."""
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: FrameType | None) -> None:
        request.number = number
        signal.signal(number, signal.SIG_DFL)

    try:
        for number in before:
            signal.signal(number, note)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as SIGINT does, so that nothing half-written stays."""

    def end(number: int, _: FrameType | None) -> None:
        raise Interrupted(number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
