"""One process at a time in a folder: the second is told of the first, or waits for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from prompts.errors import UsageError

if TYPE_CHECKING:
    from erase.commands.target import Place

log = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path, flag: str = "--out", *, wait: bool = False) -> Iterator[None]:
    """Have a folder for this process alone; in use it is a UsageError, or waited for.

    The lock is a hidden file beside the folder, gone afterwards; that of a process which was killed
    holds nobody up.
    """
    folder = Path(os.path.abspath(folder))
    path = folder.with_name(f".{folder.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise UsageError(
                    f"{flag} {folder}: in use by {_owner(path)}; wait until it ends, or stop it"
                ) from None
            log.info("%s is in use by %s: waiting", folder, _owner(path))
            lock.acquire()
        path.write_text(str(os.getpid()), encoding="ascii")
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{flag} {folder}: cannot be written ({reason}); choose another"
        ) from error
    try:
        yield
    finally:
        # While it is held: a later one would delete another's.
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def evaluating(place: Place) -> Iterator[None]:
    """Have an evaluation's folder, and wait for the original's images if others are drawing them.

    Of the processes of `accelerate launch`, which share both, the first alone asks.
    """
    with ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":
            stack.enter_context(locked(place.out))
            stack.enter_context(locked(place.originals, "--originals", wait=True))
        yield


def _owner(path: Path) -> str:
    try:
        return f"process {int(path.read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        return "another process"
