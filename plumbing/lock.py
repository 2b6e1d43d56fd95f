"""One process at a time in a folder: the second is told of the first, or waits for it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from filelock import FileLock, Timeout

from plumbing.errors import UsageError

log = logging.getLogger(__name__)


@contextmanager
def locked(place: Path, flag: str = "--out", *, wait: bool = False) -> Iterator[None]:
    """Have a folder or file for this process alone; in use it is a UsageError, or waited for.

    In use is also what lies in a folder that is, and a folder with something in use not far below.
    The lock is a hidden file beside the place, gone afterwards; that of a process which was killed
    holds nobody up.
    """
    place = Path(os.path.abspath(place))
    path = _path(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise _in_use(flag, place, path) from None
            log.info("%s is in use by %s: waiting", place, _owner(path))
            lock.acquire()
        path.write_text(str(os.getpid()), encoding="ascii")
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{flag} {place}: cannot be written ({reason}); choose another") from error
    try:
        # Two that look for each other both hold a lock by now: one of them stops at least.
        for other in chain(map(_path, place.parents), _below(place)):
            if _held_by_another(other):
                raise _in_use(flag, place, other)
        yield
    finally:
        # While it is held: a later one would delete another's.
        path.unlink(missing_ok=True)
        lock.release()


def require_idle(place: Path, flag: str) -> None:
    """Refuse, as a UsageError, to read what another process is writing; nothing is written."""
    place = Path(os.path.abspath(place))
    for path in map(_path, (place, *place.parents)):
        if _held_by_another(path):
            raise _in_use(flag, place, path)


def _path(place: Path) -> Path:
    return place.parent / f".{place.name}.lock"


def _below(folder: Path) -> Iterator[Path]:
    """Locks of what commands write in a run folder: `eval/concept`, `export/unet`, a report."""
    for pattern in (".*.lock", "*/.*.lock"):
        yield from folder.glob(pattern)


def _held_by_another(path: Path) -> bool:
    """Whether another process has a lock, which this one may not be able to ask for."""
    if not path.is_file() or _pid(path) == os.getpid():
        return False
    try:
        lock = FileLock(path)
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    # A killed process left it.
    with suppress(OSError):
        path.unlink(missing_ok=True)
    lock.release()
    return False


def _in_use(flag: str, place: Path, path: Path) -> UsageError:
    return UsageError(f"{flag} {place}: in use by {_owner(path)}; wait until it ends, or stop it")


def _owner(path: Path) -> str:
    pid = _pid(path)
    return "another process" if pid is None else f"process {pid}"


def _pid(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
