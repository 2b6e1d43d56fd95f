"""Puts a file or a folder in its place whole or not at all, and never on top of another's."""

from __future__ import annotations

import os
from collections.abc import Callable
from filecmp import cmp
from pathlib import Path

from plumbing.disk_space import FULL, Need, require_space
from plumbing.errors import UsageError
from plumbing.lock import locked
from plumbing.whole_files import naming, partial_path, put, remove, restore, sync, sync_one

Writer = Callable[[Path], None]
"""Writes a new file or folder at the place that it is given."""


def put_in_place(target: Path, write: Writer, *, overwrite: bool, size: int = 0) -> bool:
    """Let `write` make a file or folder under a temporary name, then give it its own.

    What `write` raises leaves the target as it was, and no trace. Returns False if the target held
    the very same bytes. If it held others, a UsageError without `overwrite`; a file in a target
    folder that the new one has not is a UsageError in any case, as is a target that another process
    writes, or a disk without room for `size` bytes.
    """
    target = Path(os.path.abspath(target))
    if not target.name:
        raise UsageError(f"--to {target}: is no place for an export; name a folder or file in it")
    with locked(target, "--to"):
        require_space([Need("--to", target, {"files": size})])
        try:
            restore(target)
            return _put(target, write, overwrite=overwrite)
        except OSError as error:
            if error.errno in FULL:
                raise
            reason = error.strerror or error
            raise UsageError(
                f"--to {target}: cannot be written ({reason}); choose another"
            ) from error


def _put(target: Path, write: Writer, *, overwrite: bool) -> bool:
    partial = partial_path(target)
    remove(partial)
    try:
        with naming(target):
            write(partial)
        if _alike(target, partial):
            return False
        if os.path.lexists(target):
            _require_replaceable(target, partial, overwrite=overwrite)
        with naming(target):
            sync(partial)
            put(partial, target)
            sync_one(target.parent)
        return True
    finally:
        remove(partial)


def _require_replaceable(target: Path, partial: Path, *, overwrite: bool) -> None:
    if target.is_dir() != partial.is_dir() or target.is_symlink():
        kind = "folder" if partial.is_dir() else "file"
        raise UsageError(f"--to {target}: is there and no plain {kind}; choose another name")
    foreign = sorted(set(_files(target)) - set(_files(partial)))
    if target.is_dir() and foreign:
        raise UsageError(
            f"--to {target}: holds {foreign[0]}, which an export does not; choose another folder"
        )
    if not overwrite and (target.is_file() or _files(target)):
        raise UsageError(
            f"--to {target}: another export is there; choose another place or add --overwrite"
        )


def _files(folder: Path) -> dict[str, Path]:
    """All that is in a folder but folders, by its path below it; a file is its own content."""
    if not folder.is_dir():
        return {"": folder}
    inside = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix(): path for path in inside}


def _alike(target: Path, partial: Path) -> bool:
    if not target.exists() or target.is_dir() != partial.is_dir():
        return False
    old, new = _files(target), _files(partial)
    return old.keys() == new.keys() and all(cmp(old[n], new[n], shallow=False) for n in new)
