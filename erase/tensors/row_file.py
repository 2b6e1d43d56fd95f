"""Rows of numbers in a file that is written batch by batch, and read row by row.

It is a safetensors file with `rows`, float32 [N, …], and `crc32`, int64 [N]. Neither writing nor
reading holds more than a batch in memory; a writing that was cut off goes on after its last batch
that is sound.
"""

from __future__ import annotations

import json
import logging
import math
import os
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plumbing.whole_files import naming, partial_path, put, sync_one

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """A whole file of rows."""

    path: Path
    shape: tuple[int, ...]
    """[N, …]"""
    start: int
    """Where the first row begins in the file."""

    def __len__(self) -> int:
        """The number of rows, N."""
        return self.shape[0]

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Read some rows, int64 [B], into float32 [B, …]; one that is damaged is an OSError."""
        # Not through a mapping, whose pages would count as this process's memory.
        with self.path.open("rb") as file:
            return torch.stack([self._read(file, int(row)) for row in rows])

    def _read(self, file: BinaryIO, row: int) -> Tensor:
        data = _row(file, self.start, self.shape, row)
        file.seek(_sums(self) + 8 * row)
        if zlib.crc32(data) != int.from_bytes(file.read(8), "little"):
            raise OSError(f"{self.path}: row {row} is damaged; delete that file and start again")
        return torch.from_numpy(np.frombuffer(data, np.float32).copy()).view(self.shape[1:])


def open_rows(path: Path, key: str) -> Rows | None:
    """The rows that `write_rows` left under this key, each checked; None if there are none."""
    if not path.is_file():
        return None
    try:
        rows = _open(path, key)
        for row in range(len(rows)) if rows else ():
            rows[torch.tensor([row])]  # pyright: ignore[reportOptionalSubscript]
        return rows
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s is damaged (%s): making it again", path, error)
        return None


def write_rows(
    path: Path, key: str, count: int, batch: int, make: Callable[[int], Iterable[Tensor]]
) -> Rows:
    """Write `count` rows that `make(start)` gives from row `start` on, `batch` at a time.

    The file has its name only when it is whole. What a cut-off writing of the same key left is
    taken over, as many whole batches as fit their checksums.
    """
    partial = partial_path(path)
    rows, done = _left_over(partial, key, batch)
    for made in make(done):
        tensor = made.float().contiguous()
        if rows is None:
            rows = _begin(partial, key, (count, *tensor.shape[1:]))
        _write(rows, done, tensor.numpy())
        done += len(tensor)
    if rows is None or done != count:
        raise ValueError(f"{path}: {done} rows came, not {count}")
    put(partial, path)
    sync_one(path.parent)
    return Rows(path, rows.shape, rows.start)


def _begin(partial: Path, key: str, shape: tuple[int, ...]) -> Rows:
    """Write the header of an empty file."""
    size = 4 * math.prod(shape)
    header = {
        "__metadata__": {"key": key},
        "rows": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]},
        "crc32": {
            "dtype": "I64",
            "shape": [shape[0]],
            "data_offsets": [size, size + 8 * shape[0]],
        },
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with naming(partial), partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        _sync(file)
    return Rows(partial, shape, 8 + len(text))


def _open(path: Path, key: str) -> Rows | None:
    """The rows of a file, perhaps not whole; None if it is of another key."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 1 << 16:
            raise ValueError("its header is too long")
        header: dict[str, Any] = json.loads(file.read(length))
    if header["__metadata__"]["key"] != key:
        return None
    shape = tuple(map(int, header["rows"]["shape"]))
    if header["rows"]["dtype"] != "F32" or not shape or min(shape) < 1:
        raise ValueError("its rows are not float32")
    return Rows(path, shape, 8 + length)


def _left_over(partial: Path, key: str, batch: int) -> tuple[Rows | None, int]:
    """What a cut-off writing left, and how many rows of it are to be kept."""
    if not partial.is_file():
        return None, 0
    try:
        rows = _open(partial, key)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s is damaged (%s): making it again", partial, error)
        return None, 0
    if rows is None:
        return None, 0
    done = 0
    # Rows that were not written yet have no checksum either.
    with suppress(OSError):
        for done in range(len(rows)):
            rows[torch.tensor([done])]
        done = len(rows)
    if done < (partial.stat().st_size - _sums(rows)) // 8:
        log.warning("%s: row %d is damaged: making it and what follows again", partial, done)
    return rows, done if done == len(rows) else done // batch * batch


def _write(rows: Rows, first: int, data: NDArray[np.float32]) -> None:
    """Add some rows, and their checksums far behind them, with a hole between."""
    sums = np.array([zlib.crc32(row.tobytes()) for row in data], np.int64)
    with naming(rows.path), rows.path.open("r+b") as file:
        file.seek(rows.start + _bytes(rows.shape) * first)
        file.write(data.tobytes())
        file.seek(_sums(rows) + 8 * first)
        file.write(sums.tobytes())
        _sync(file)


def _row(file: BinaryIO, start: int, shape: tuple[int, ...], row: int) -> bytes:
    file.seek(start + _bytes(shape) * row)
    data = file.read(_bytes(shape))
    if len(data) != _bytes(shape):
        raise OSError("it is cut off")
    return data


def _bytes(shape: tuple[int, ...]) -> int:
    """Of one row."""
    return 4 * math.prod(shape[1:])


def _sums(rows: Rows) -> int:
    """Where the checksums begin in the file."""
    return rows.start + _bytes(rows.shape) * len(rows)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
