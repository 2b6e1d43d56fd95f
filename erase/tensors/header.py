"""The header of a safetensors file that a stranger may have written; no torch.

The format's own reader checks sizes, offsets and overlaps. What it lets pass is refused here: names
that come twice, of which readers take one or the other, headers that take minutes to read, and
files of another kind, or cut off, of which the format's reader does not say what they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plumbing.file_content import CutOffError, NotWeightsError, weights_kind
from plumbing.visible_text import hidden

LARGEST = 32 << 20
"""Bytes of a header; that of SDXL in one file has some 300,000, a LoRA's notes a few million."""
LONGEST = 1000
"""Characters of a tensor's name."""


def check_header(path: Path) -> None:
    """Raise ValueError for a header that is cut off, too long, ambiguous or not to be shown.

    So are a file that is cut off, and one of another kind.
    """
    if weights_kind(path) != "safetensors":
        raise NotWeightsError("a pickle of torch, not a safetensors file", "give the one asked for")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LARGEST:
            raise ValueError(f"its header says that it is {length:,} bytes long")
        text = file.read(length)
    size = path.stat().st_size
    if len(text) < length:
        raise CutOffError(f"its header has {length:,} bytes, the whole file {size:,}")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("its header is too deeply nested") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    for name in header:
        if len(name) > LONGEST or any(map(hidden, name)):
            raise ValueError("a tensor in it has no readable name")
    whole = 8 + length + max(map(_end, header.values()), default=0)
    if size < whole:
        raise CutOffError(f"its header tells of {whole:,} bytes, there are {size:,}")


def _end(entry: Any) -> int:
    """Where a tensor ends; 0 of what is none, which the format's reader refuses."""
    match entry:
        case {"data_offsets": [int(), int(end)]}:
            return end
    return 0


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a name twice")
    return found
