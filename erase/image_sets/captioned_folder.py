"""Pictures of the user's: a folder of images and captions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from plumbing.errors import UsageError
from plumbing.inside import is_below
from plumbing.json_file import parse
from plumbing.whole_files import sha256_file

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def read_captions(folder: Path, flag: str) -> dict[Path, str]:
    """The images of a folder and their captions, from its metadata.jsonl or a .txt beside each.

    Whatever is missing or unreadable is a UsageError that names `flag` and the file.
    """
    if not folder.is_dir():
        raise UsageError(f"{flag} {folder}: no such folder")
    table = folder / "metadata.jsonl"
    try:
        if table.is_file():
            lines = table.read_text("utf-8").split("\n")
            rows = [parse(line) for line in lines if line.strip()]
            captions = {folder / _below(row["file_name"]): _text(row["text"]) for row in rows}
        else:
            images = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
            captions = {p: p.with_suffix(".txt").read_text("utf-8").strip() for p in images}
    except FileNotFoundError as error:
        raise UsageError(f"{flag} {folder}: {Path(error.filename).name} is missing") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{flag} {folder}: captions must be UTF-8, metadata.jsonl a "
            f'{{"file_name", "text"}} a line ({error})'
        ) from error
    if not captions:
        raise UsageError(f"{flag} {folder}: holds no image ({', '.join(_SUFFIXES)})")
    absent = next((path for path in captions if not _is_there(path)), None)
    if absent is not None:
        raise UsageError(f"{flag} {folder}: {absent.name} is missing")
    for path in captions:
        _open_image(path, flag).close()
    return captions


def _below(name: str) -> str:
    """A file's name in a table; ValueError for one that leads out of its folder."""
    if not is_below(name):
        raise ValueError(f"{name[:80]!r} is not in the folder")
    return name


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    # A name may be longer than a name can be.
    except OSError:
        return False


def _text(value: object) -> str:
    text = str(value)
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a caption holds half a character")
    return text


def hash_captions(captions: dict[Path, str]) -> str:
    """One sha256 over the names, bytes and captions of images."""
    rows = [[path.name, sha256_file(path), text] for path, text in captions.items()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def read_pixels(path: Path, flag: str, size: int) -> Tensor:
    """A picture as [3, size, size] in [-1, 1], scaled and cropped about its centre."""
    with _open_image(path, flag) as image:
        try:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        except _UNREADABLE as error:
            raise UsageError(f"{flag} {path}: the image is damaged") from error
    square = ImageOps.fit(upright, (size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 127.5 - 1


def _open_image(path: Path, flag: str) -> Image.Image:
    try:
        return Image.open(path)
    except _UNREADABLE as error:
        raise UsageError(f"{flag} {path}: not a readable image") from error
