"""Faults that come at a given moment of a real run: a limit, a full disk, a read-only folder."""

from __future__ import annotations

import logging
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def when_told(words: str, fault: Callable[[], object]) -> Iterator[None]:
    """Cause a fault once a log line of ours has these words."""

    class Trigger(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if words in record.getMessage():
                fault()

    trigger = Trigger()
    loggers = [
        logging.getLogger(name) for name in ("erase", "eval", "expunge", "plumbing", "prompts")
    ]
    for logger in loggers:
        logger.addHandler(trigger)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(trigger)


@contextmanager
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """Gives what limits the size of files from then on; taken back at the end."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def mount(*words: str) -> None:
    """Mount, or skip the test: that takes root, which not every machine gives."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:
    """Mount something on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        mount(*words, str(folder))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


def fill(folder: Path) -> Path:
    """Write a file until its disk is full; the file."""
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\1" * 4096)
    except OSError:
        return ballast
