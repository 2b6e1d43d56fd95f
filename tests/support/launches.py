"""Commands in processes of their own, forked from one that has imported all that they need.

A start takes a fraction of a second instead of five; what runs, and how it ends, is the same.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kill import Starter


def wait_for(there: Callable[[], bool]) -> None:
    """Until it is so; a minute at most."""
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end
        time.sleep(0.002)


def start_two(starter: Starter, words: Sequence[str], logs: Sequence[Path]) -> list[Any]:
    """`expunge WORDS` in two processes, told of each other as `torchrun` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [
        starter.start(words, path, {**address, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, path in enumerate(logs)
    ]


def launch_two(starter: Starter, words: Sequence[str], log: Path) -> str:
    """The same, to their end; what they wrote."""
    logs = [log.with_name(f"{log.name}-{rank}") for rank in (0, 1)]
    processes = start_two(starter, words, logs)
    for process in processes:
        process.join(300)
    text = "".join(path.read_text() for path in logs)
    assert [process.exitcode for process in processes] == [0, 0], text
    return text
