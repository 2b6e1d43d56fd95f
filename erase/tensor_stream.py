"""Safetensors files of any size, written tensor by tensor: never two of them in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from erase.weights import CODES, Computed, Spec, Weights, raw_bytes, same_bits
from prompts.errors import UsageError
from prompts.files import naming


def stream_tensors(path: Path, tensors: Computed | Weights, metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata; the same content gives the same bytes.

    Each tensor is asked for when its turn comes. `path` must not exist, and is left half-written
    if something fails: the caller gives a temporary name.
    """
    # The format's own writer puts wide types first, which keeps every tensor aligned.
    order = sorted(tensors.specs, key=lambda name: (-tensors.specs[name].dtype.itemsize, name))
    with naming(path), path.open("xb") as file:
        file.write(_header(order, tensors.specs, metadata))
        for name in order:
            tensor = tensors[name]
            if Spec(tensor.dtype, tuple(tensor.shape)) != tensors.specs[name]:
                raise ValueError(f"{name}: {tensor.dtype}, {tuple(tensor.shape)} came unannounced")
            file.write(raw_bytes(tensor))


def require_written(path: Path, tensors: Computed | Weights, metadata: Mapping[str, str]) -> None:
    """Read a file again and compare it bit for bit; a difference is a UsageError."""
    found = Weights([path])
    wrong = [] if found.metadata == dict(metadata) else ["its metadata"]
    wrong += sorted(found.specs.keys() ^ tensors.specs.keys())
    wrong = wrong or [name for name in found if not same_bits(found[name], tensors[name])]
    if wrong:
        raise UsageError(f"{path}: read back, {wrong[0]} is not what was written; check the disk")


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
