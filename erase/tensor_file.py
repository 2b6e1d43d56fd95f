"""Safetensors files, written whole or not at all, and the same bytes for the same content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from erase.tensor_stream import stream_tensors
from erase.weights import Computed, Spec
from plumbing.whole_files import whole


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to one file."""
    specs = {name: Spec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    with whole(path) as partial:
        stream_tensors(partial, Computed(specs, tensors.__getitem__), metadata)
