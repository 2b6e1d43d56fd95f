"""How many weights a mask file selects, parameter by parameter, read without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from prompts.errors import UsageError


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
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            found = {
                # The last byte is padded with zeros, which count for nothing.
                name: (int(np.bitwise_count(file.get_tensor(name)).sum()), _size(header, name))
                for name in file.keys()  # noqa: SIM118 - the file is no mapping
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: not a readable mask file: {error}") from error
    return MaskCounts(found)


def _size(header: Mapping[str, str], name: str) -> int:
    shape = header[f"shape:{name}"]
    return math.prod(int(number) for number in shape.split(",")) if shape else 1
