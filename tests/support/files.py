"""Looks into folders: which files, their lines, their pixels, and when they were written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def files(folder: Path) -> set[str]:
    """All files below a folder, by their place in it."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, but for caches."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def written(folder: Path) -> dict[str, int]:
    """When each file below a folder was last written."""
    return {name: (folder / name).stat().st_mtime_ns for name in files(folder)}


def jsonl(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def pixels(path: Path) -> np.ndarray:
    """[height, width, channels], as whole numbers that can be subtracted."""
    with Image.open(path) as image:
        return np.asarray(image).astype(int)
