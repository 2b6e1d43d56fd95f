"""Pictures of the user's: a folder of images and captions."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from erase.image_sets.captions import (
    captions_beside,
    captions_of_table,
    find_table,
    has_file_beside,
    tell_some,
)
from erase.image_sets.loose_names import LooseNames
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb, require_image
from plumbing.image_folder import images_in, list_images
from plumbing.whole_files import sha256_file

_AT_ONCE = 8
"""Images decoded at a time, of up to half a gigabyte each."""


def read_captions(folder: Path, flag: str) -> dict[Path, str]:
    """The images of a folder and their captions, from a table or from a text file beside each.

    The table is metadata.jsonl or metadata.csv. Whatever is missing or unreadable is a UsageError
    that names `flag` and the file; what is there and not read is told.
    """
    table = find_table(folder, flag)
    if table is None:
        captions = captions_beside(list_images(folder, flag), flag)
    else:
        captions = captions_of_table(table, flag)
    if not captions:
        raise UsageError(f"{flag} {table}: names no image")
    for path in captions:
        if not _is_file(path):
            raise UsageError(f"{flag} {folder}: {path.name} is missing")
        require_image(path, f"{flag} {path}")
    if table is not None:
        _tell_what_is_not_read(table, flag, captions)
    return captions


def _tell_what_is_not_read(table: Path, flag: str, captions: dict[Path, str]) -> None:
    """Images that the table does not name, and captions beside those that it names."""
    names = LooseNames()
    folders = sorted({table.parent, *(path.parent for path in captions)})
    images = [path for folder in folders for path in images_in(folder, flag)]
    where = f"{flag} {table}"
    tell_some(
        f"{where}: images that it does not name", [p.name for p in images if p not in captions]
    )
    beside = [path.name for path in captions if has_file_beside(path, names)]
    tell_some(f"{where}: is read, and not the text files beside images", beside)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    # A name may be longer than a name can be.
    except OSError:
        return False


def require_whole_images(captions: dict[Path, str], flag: str) -> None:
    """Refuse, as a UsageError, images whose pixels cannot be read: `read_captions` does not look.

    Threads, an image each, for a photograph takes a tenth of a second.
    """
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _AT_ONCE)) as pool:
        for _ in pool.map(lambda p: require_image(p, f"{flag} {p}", whole=True), captions):
            pass


def hash_captions(captions: dict[Path, str]) -> str:
    """One sha256 over the names, bytes and captions of images."""
    rows = [[path.name, sha256_file(path), text] for path, text in captions.items()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def read_pixels(path: Path, flag: str, size: int | tuple[int, int]) -> Tensor:
    """A picture as [3, height, width] in [-1, 1], scaled and cropped about its centre.

    `size` is in pixels: (width, height), or the side of a square.
    """
    sides = (size, size) if isinstance(size, int) else size
    picture = read_rgb(path, f"{flag} {path}")
    fitted = ImageOps.fit(picture, sides, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(fitted).copy()).permute(2, 0, 1).float() / 127.5 - 1
