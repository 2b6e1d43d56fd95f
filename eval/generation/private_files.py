"""Files for their owner's eyes alone, on a machine that others use too."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever is made meanwhile is its owner's alone: files 0600, folders 0700."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_private(folders: Iterable[Path]) -> None:
    """Make what lies in some folders its owner's alone; images linked from a cache are so there."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
