"""How many weights a mask file selects, parameter by parameter, read without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from erase.tensors.header import check_header
from plumbing.errors import UsageError


@dataclass(frozen=True)
class MaskCounts:
    """Selected and total weights of every parameter of a mask."""

    by_name: Mapping[str, tuple[int, int]]

    @property
    def kept(self) -> int:
        """How many weights are selected."""
        return sum(kept for kept, _ in self.by_name.values())

    @property
    def total(self) -> int:
        """How many weights the mask is about."""
        return sum(total for _, total in self.by_name.values())

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Selected and total weights by parameter name."""
        return self.by_name


def read_mask_counts(path: Path) -> MaskCounts:
    """Count the bits of a `mask.safetensors`; anything else is a UsageError."""
    try:
        check_header(path)
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            found = {
                name: _counts(file.get_tensor(name), shape_told(header, name))
                for name in file.keys()  # noqa: SIM118 - the file is no mapping
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a readable mask file: {error}") from error
    return MaskCounts(found)


def shape_told(header: Mapping[str, str], name: str) -> tuple[int, ...] | None:
    """A parameter's shape as a mask's metadata tells it; None if it does not."""
    text = header.get(f"shape:{name}")
    if text is None or not re.fullmatch(r"(\d{1,12}(,\d{1,12}){0,7})?", text, re.ASCII):
        return None
    return tuple(map(int, text.split(","))) if text else ()


def fits(packed: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether so many bytes hold a bit a weight of that shape."""
    return packed == (-(-math.prod(shape) // 8),)


def _counts(packed: Any, shape: tuple[int, ...] | None) -> tuple[int, int]:
    if shape is None or packed.dtype != np.uint8 or not fits(packed.shape, shape):
        raise ValueError("it has other tensors than a mask")
    # The last byte is padded with zeros, which count for nothing.
    return int(np.bitwise_count(packed).sum()), math.prod(shape)
