"""Files that are whole or not there, whatever ends the process or the machine's power."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that a reader, or a kill, meets the old content or the new, never a part.

    Its folder is made. `durable` waits until the disk has it, for what nothing else can tell from
    a torn file; an error that names no file is made to name this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path, durable=durable) as partial:
        partial.write_bytes(data)


@contextmanager
def whole(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary place for a file or folder, which gets its own name when all is written.

    What fails leaves what was there before, and no trace.
    """
    partial = partial_path(path)
    with naming(path):
        remove(partial)
        try:
            yield partial
            if durable:
                sync(partial)
            put(partial, path)
            if durable:
                sync_one(path.parent)
        except BaseException:
            with suppress(OSError):
                remove(partial)
            raise


def partial_path(path: Path) -> Path:
    """Where a file or folder is written; the same for every process, so that none is left over."""
    return path.with_name(f".{path.name}.partial")


def clear_partials(folder: Path) -> None:
    """Remove what a killed process had begun to write in a folder."""
    for path in folder.glob(".*.partial"):
        remove(path)


def put(partial: Path, target: Path) -> None:
    """Rename onto a file or a folder, of which a kill may leave `.NAME.old` alone (`restore`)."""
    old = _old(target)
    remove(old)
    if partial.is_dir() and target.is_dir() and not target.is_symlink():
        os.replace(target, old)
    os.replace(partial, target)
    remove(old)


def restore(target: Path) -> None:
    """Give a folder its name back that a kill within `put` took."""
    if not os.path.lexists(target) and _old(target).is_dir():
        os.replace(_old(target), target)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error tell the file, as it is to be called: that of a full disk names none."""
    partial = str(partial_path(path))
    try:
        yield
    except OSError as error:
        told = str(error.filename or partial)
        if error.errno is not None and told.startswith(partial):
            error.filename, error.filename2 = f"{path}{told.removeprefix(partial)}", None
        raise


def sync(path: Path) -> None:
    """Wait until the disk has a file, or a folder and all that is in it."""
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
    sync_one(path)


def sync_one(path: Path) -> None:
    """Wait until the disk has a file, or a folder's list of names."""
    folder = path.is_dir()
    # Not every system opens a folder; "." has no name to tell.
    with suppress(OSError) if folder else naming(path):
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
