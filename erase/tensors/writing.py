"""Safetensors files of any size, written tensor by tensor: never two of them in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from erase.tensors.bits import raw_bytes
from erase.tensors.weight_files import CODES, Computed, Spec, Weights
from plumbing.errors import UsageError
from plumbing.whole_files import naming, whole


def stream_tensors(path: Path, tensors: Computed | Weights, metadata: Mapping[str, str]) -> str:
    """Write tensors and metadata; the same content gives the same bytes. Returns their sha256.

    Each tensor is asked for when its turn comes. `path` must not exist, and is left half-written
    if something fails: the caller gives a temporary name.
    """
    # The format's own writer puts wide types first, which keeps every tensor aligned.
    order = sorted(tensors.specs, key=lambda name: (-tensors.specs[name].dtype.itemsize, name))
    digest = hashlib.sha256()
    with naming(path), path.open("xb") as file:
        for data in _parts(order, tensors, metadata):
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def write_checked(path: Path, tensors: Computed | Weights, metadata: Mapping[str, str]) -> None:
    """`stream_tensors`, and read the file again; if other bytes come back it is a UsageError."""
    written = stream_tensors(path, tensors, metadata)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != written:
        raise UsageError(f"{path}: read back, it is not what was written; check the disk")


def _parts(
    order: list[str], tensors: Computed | Weights, metadata: Mapping[str, str]
) -> Iterator[Any]:
    """The header, then each tensor's bytes."""
    yield _header(order, tensors.specs, metadata)
    for name in order:
        tensor = tensors[name]
        if Spec(tensor.dtype, tuple(tensor.shape)) != tensors.specs[name]:
            raise ValueError(f"{name}: {tensor.dtype}, {tuple(tensor.shape)} came unannounced")
        yield raw_bytes(tensor)


def _header(order: list[str], specs: Mapping[str, Spec], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in order:
        spec, end = specs[name], offset + specs[name].bytes
        header[name] = {
            "dtype": CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to one file."""
    specs = {name: Spec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with whole(path) as partial:
        stream_tensors(partial, Computed(specs, tensors.__getitem__), metadata)
