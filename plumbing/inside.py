"""Paths of a record that must stay inside their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from plumbing.errors import UsageError


def is_below(name: str) -> bool:
    """Whether a relative name stays below the folder it is looked for in."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and ".." not in parts and "\0" not in name and not _is_rooted(name)


def _is_rooted(name: str) -> bool:
    return name.startswith(("/", "\\", "~")) or ":" in name[:2]


def require_no_way_out(folder: Path) -> None:
    """Refuse, as a UsageError, a folder with a link that leads out of it: it would be followed."""
    root = folder.resolve()
    for entry in _links(root):
        target = Path(entry.path)
        if not Path(os.path.realpath(target)).is_relative_to(root):
            raise UsageError(
                f"{folder}: {target.relative_to(root)} is a link that leads out of the folder; "
                "put the thing itself in its place, or remove it"
            )


def _links(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """All symbolic links below a folder, without following them."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        # What cannot be looked into cannot be followed; who needs it says so.
        return
    for entry in entries:
        if entry.is_symlink():
            yield entry
        elif entry.is_dir(follow_symlinks=False):
            yield from _links(entry.path)
