"""A folder of real images to compare with: its files, and one hash over what they hold."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.image_folder import list_images


@dataclass(frozen=True)
class ImageFolder:
    """The images below a folder, in the order of their names."""

    name: str
    files: tuple[Path, ...]
    sha256: str
    """Of the files' own hashes in sorted order, so that renaming changes nothing."""


def find_images(folder: Path, flag: str, fewest: int) -> ImageFolder:
    """List the images at any depth; UsageError naming the flag if there are too few."""
    files = list_images(folder, flag, deep=True)
    if len(files) < fewest:
        raise UsageError(f"{flag} {folder}: holds {len(files)} images, needs {fewest} or more")
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    digest = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    return ImageFolder(name=folder.resolve().name, files=files, sha256=digest)
