"""Room on a disk: asked for before the work, and told of in one line when it ends all the same."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plumbing.errors import UsageError

log = logging.getLogger(__name__)

FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT}
"""Errors for which another place is no help, or not needed."""
_GO_ON = "run the same command again: it goes on from what is finished"
_REMEDIES = {
    errno.ENOSPC: f"free some space and {_GO_ON}",
    errno.EDQUOT: f"free some space, or have your quota raised, and {_GO_ON}",
    errno.EFBIG: f"raise the limit on a file's size (ulimit -f) and {_GO_ON}",
    errno.EROFS: f"make that disk writable and {_GO_ON}",
    errno.EACCES: f"give yourself the right to it and {_GO_ON}",
    errno.EPERM: f"give yourself the right to it and {_GO_ON}",
    errno.EMFILE: f"raise the limit on open files (ulimit -n) and {_GO_ON}",
    errno.EIO: f"see to that disk and {_GO_ON}",
}


@dataclass(frozen=True)
class Need:
    """What is about to be written in a folder that need not be there yet."""

    flag: str
    """Where the folder comes from."""
    folder: Path
    parts: Mapping[str, float]
    """Bytes by what they are for."""
    there: float = 0
    """Bytes that need not be written again, or give way."""
    many: bool = False
    """Whether the parts are many files each, not one."""


def require_space(needs: Sequence[Need]) -> None:
    """Say how much is needed and free, disk by disk; UsageError if it does not fit."""
    _require_allowed(needs)
    disks: dict[int, list[Need]] = {}
    for need in needs:
        disks.setdefault(os.stat(_existing(need.folder)).st_dev, []).append(need)
    for together in disks.values():
        parts = [(name, size) for need in together for name, size in need.parts.items() if size]
        there = sum(min(need.there, sum(need.parts.values())) for need in together)
        needed = sum(size for _, size in parts) - there
        free = shutil.disk_usage(_existing(together[0].folder)).free
        shares = [f"{name} {_shown(size)}" for name, size in parts]
        shares += [f"less {_shown(there)} there already"] if there else []
        told = f"about {_shown(needed)} of disk" + (f" ({', '.join(shares)})" if shares[1:] else "")
        if needed > free:
            raise UsageError(
                f"{together[0].flag} {together[0].folder}: needs {told}, {_shown(free)} are free; "
                "free some space, or choose another disk"
            )
        if needed:
            log.info("needs %s, %s free", told, _shown(free))


def _require_allowed(needs: Iterable[Need]) -> None:
    """Refuse a file that is larger than the process may write."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    for need in needs:
        largest = 0 if need.many else max(need.parts.values(), default=0)
        if limit != resource.RLIM_INFINITY and largest > limit:
            raise UsageError(
                f"{need.flag} {need.folder}: needs a file of about {_shown(largest)}, and "
                f"{_shown(limit)} are the limit on a file's size; raise it (ulimit -f)"
            )


def explain(error: OSError) -> str:
    """The line that a full, failing or read-only disk ends the program with: what, why, remedy."""
    if error.errno is None or error.strerror is None:
        return str(error).strip() or repr(error)
    place = f"{error.filename}: " if error.filename else ""
    remedy = _REMEDIES.get(error.errno, f"mend that and {_GO_ON}")
    return f"{place}{error.strerror}; {remedy}"


def _existing(folder: Path) -> Path:
    """The nearest folder above that is there."""
    place = Path(os.path.abspath(folder))
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _shown(size: float) -> str:
    for unit, divisor in (("GB", 1e9), ("MB", 1e6)):
        if size >= divisor:
            return f"{size / divisor:.{0 if size >= 100 * divisor else 1}f} {unit}"
    return f"{size / 1e3:.0f} kB"
