"""Safetensors files with checksums: what is read is what was written.

Tensors are read one by one and nothing is mapped: a mapping's pages would count as memory.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from erase.tensors.bits import raw_bytes
from erase.tensors.weight_files import CODES, Spec
from erase.tensors.writing import write_tensors

_SUMS = "crc32"
_TYPES = {code: dtype for dtype, code in CODES.items()}
_WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError)


class Damaged(OSError):
    """A file that is not what was written; the message names it."""


def write_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata, and a checksum of each tensor and of the metadata."""
    sums = {name: _sum(name, tensor) for name, tensor in tensors.items()}
    write_tensors(path, tensors, {**metadata, _SUMS: json.dumps({"": _said(metadata), **sums})})


class Sealed:
    """The metadata and the tensors of an open file, each read and checked when it is asked for."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the header."""
        self._file, self._size = file, os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > self._size:
            raise ValueError("it is cut off")
        self._start = 8 + length
        self._entries: dict[str, Any] = json.loads(file.read(length))
        self.metadata: dict[str, str] = self._entries.pop("__metadata__")
        self._sums = json.loads(self.metadata.pop(_SUMS))
        said = self._sums.pop("", None)
        if said != _said(self.metadata) or self._sums.keys() != self._entries.keys():
            raise ValueError("a checksum is wrong")

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor."""
        entry = self._entries[name]
        first, end = entry["data_offsets"]
        spec = Spec(_TYPES[entry["dtype"]], tuple(entry["shape"]))
        if spec.bytes != end - first or self._start + end > self._size:
            raise ValueError("it is cut off, or its header is wrong")
        tensor = torch.empty(spec.shape, dtype=spec.dtype)
        self._file.seek(self._start + first)
        self._file.readinto(raw_bytes(tensor))  # pyright: ignore[reportAttributeAccessIssue]
        if _sum(name, tensor) != self._sums[name]:
            raise ValueError("a checksum is wrong")
        return tensor

    @property
    def names(self) -> tuple[str, ...]:
        """The tensors' names, as they lie in the file."""
        return tuple(self._entries)


@contextmanager
def open_sealed(path: Path) -> Iterator[Sealed]:
    """Open what `write_sealed` wrote, for the length of a block.

    If it is anything else, or the block can make nothing of what is in it, that is `Damaged`; a
    file that cannot be read is another OSError.
    """
    with path.open("rb") as file:
        try:
            yield Sealed(file)
        except _WRONG as error:
            raise Damaged(f"{path} is damaged or of another version ({error})") from error


def _said(metadata: Mapping[str, str]) -> int:
    return zlib.crc32(json.dumps(dict(metadata), sort_keys=True).encode())


def _sum(name: str, tensor: Tensor) -> int:
    kind = f"{name} {CODES[tensor.dtype]} {list(tensor.shape)}"
    return zlib.crc32(raw_bytes(tensor), zlib.crc32(kind.encode()))
