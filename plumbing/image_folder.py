"""Which files of a folder are its pictures: one rule for every flag that takes a folder."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from plumbing.errors import UsageError

log = logging.getLogger(__name__)

_READ = (
    ".apng .avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .mpo .pbm .pcx .pfm .pgm "
    ".png .pnm .ppm .qoi .sgi .tga .tif .tiff .webp"
)
SUFFIXES = frozenset(_READ.split())
"""In lower case, of the files that `image_file` reads."""
_NOT_READ = (
    ".ai .arw .cr2 .cr3 .dds .dng .eps .exr .hdr .heic .heif .hif .icns .jxl .kra .nef .orf "
    ".pef .psd .raf .rw2 .srw .svg .xcf"
)
_OTHERS = frozenset(_NOT_READ.split())
"""Of pictures that are not read."""
_JUNK = frozenset(("__macosx", "@eadir", "thumbs.db", "desktop.ini"))
"""What systems leave in folders, beside names that begin with a dot."""


def list_images(folder: Path, flag: str, *, deep: bool = False) -> tuple[Path, ...]:
    """The image files of a folder in the order of their names, `deep`: at any depth.

    Hidden files are none. Pictures of kinds that are not read, and in subfolders unless `deep`, are
    told of. UsageError if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        unpack = " but a file; unpack it, and give its folder" if folder.exists() else ""
        raise UsageError(f"{flag} {folder}: no such folder{unpack}")
    files = list(_walk(folder, flag) if deep else _files(_entries(folder, flag)))
    images = tuple(sorted(filter(is_image, files)))
    left = _left_out(files, () if deep else _subfolders(folder, flag))
    if not images:
        instead = f" but {left}" if left else ""
        raise UsageError(f"{flag} {folder}: holds no image{instead}; read are {_READ}")
    if left:
        log.warning("%s %s: %s not read", flag, folder, left)
    for path in images:
        # A link to nothing, which would else be passed over.
        if not path.exists():
            raise UsageError(f"{flag} {path}: leads to a file that is missing")
    return images


def images_in(folder: Path, flag: str) -> list[Path]:
    """The image files right in a folder, whatever else there is."""
    return sorted(filter(is_image, _files(_entries(folder, flag))))


def is_image(path: Path) -> bool:
    """Whether a file's name says that it is read as a picture."""
    return path.suffix.lower() in SUFFIXES


def ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or left by a system: it counts for nothing."""
    return name.startswith(".") or name.lower() in _JUNK


def _entries(folder: Path, flag: str) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not ignored(path.name)]
    except OSError as error:
        raise UsageError(f"{flag} {folder}: cannot be looked into ({error.strerror})") from error


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that are files, or links to nothing."""
    return (path for path in paths if path.is_file() or not path.exists())


def _walk(folder: Path, flag: str) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"{flag} {error.filename}: cannot be looked into ({error.strerror})")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not ignored(name)]
        yield from _files(Path(place, name) for name in files if not ignored(name))


def _subfolders(folder: Path, flag: str) -> Iterator[tuple[str, int]]:
    """The folders right below that hold images, and how many."""
    for path in sorted(_entries(folder, flag)):
        # Nobody asked for it: it need not be open to us.
        with suppress(UsageError):
            if path.is_dir() and (count := sum(map(is_image, _entries(path, flag)))):
                yield path.name, count


def _left_out(files: Iterable[Path], subfolders: Iterable[tuple[str, int]]) -> str:
    """What is not read, in words; empty if nothing."""
    kinds = Counter(path.suffix.lower() for path in files)
    others = [f"{count} {kind}" for kind, count in sorted(kinds.items()) if kind in _OTHERS]
    parts = [f"{', '.join(others)} (convert to PNG or JPEG)"] if others else []
    parts += [f"{count} in its folder {name}" for name, count in subfolders]
    return " and ".join(parts)
