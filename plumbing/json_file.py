"""A reader of JSON files that strangers may have written."""

import json
from pathlib import Path
from typing import Any

LARGEST = 64 << 20
"""Bytes of a JSON file; the largest of ours, an index or a run.json, has some 100,000."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; OSError or ValueError for anything else, however it is made."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MB")
    text = path.read_text(encoding="utf-8")
    if text.startswith("version https://git-lfs"):
        raise ValueError("a Git LFS pointer, which stands for the file: run `git lfs pull`")
    found = parse(text)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def parse(text: str) -> Any:
    """The value of a JSON text; ValueError for one that is none or too deeply nested."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None
