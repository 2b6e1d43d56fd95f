"""Safetensors files, written whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors (made contiguous, on the CPU) and metadata to one file."""
    partial = path.with_name(path.name + ".partial")
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(ready, partial, metadata=dict(metadata))
    _sort_metadata(partial)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _sort_metadata(path: Path) -> None:
    # safetensors keeps metadata in a hash map: its order, so the file's hash, changes by process.
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise ValueError(f"{path}: its header has grown from {length} to {len(text)} bytes")
        file.seek(8)
        file.write(text.ljust(length))
