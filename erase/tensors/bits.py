"""Tensors as bits: equal, changed, hashed, blended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from erase.tensors.weight_files import CODES


def raw_bytes(tensor: Tensor) -> Any:
    """The tensor's memory, uint8 [bytes], in row-major order."""
    return _flat(tensor).cpu().view(torch.uint8).numpy()


def _flat(tensor: Tensor) -> Tensor:
    # A tensor of one element or none is contiguous whatever its stride, which a view minds.
    return tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are alike in type, shape and every bit: -0 is not 0, a NaN is itself."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return bool((raw_bytes(first) == raw_bytes(second)).all())


def changed_places(first: Tensor, second: Tensor) -> Tensor:
    """Where two tensors of one type and shape differ in any bit; bool in their shape."""
    return (bit_pattern(first) != bit_pattern(second)).view(first.shape)


INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""The integer type of each width in bytes."""


def bit_pattern(tensor: Tensor) -> Tensor:
    """The same memory as integers of the same width, flat [count]."""
    return _flat(tensor).view(INTEGERS[tensor.dtype.itemsize])


def widened(tensor: Tensor) -> Tensor:
    """A half-precision tensor in float32, which has all its values; any other as it is."""
    half = tensor.dtype.is_floating_point and tensor.dtype.itemsize < 4
    return tensor.float() if half else tensor


def content_hash(weights: Mapping[str, Tensor]) -> str:
    """One sha256 over names, shapes and values, whatever files or wide enough type hold them."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = widened(weights[name])
        digest.update(f"{name} {CODES[tensor.dtype]} {list(tensor.shape)}\n".encode())
        digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def blend(original: Tensor, erased: Tensor, strength: float) -> Tensor:
    """Original + strength * (erased - original) in float32, in the tensors' shape.

    Exact where it must be: at strength 0 and 1, and for every weight that both have alike
    (-0 + 0 would be 0). Both must be of one type, no wider than float32.
    """
    start, end = original.float(), erased.float()
    if strength == 0:
        return start
    if strength == 1:
        return end
    return torch.where(changed_places(start, end), start + strength * (end - start), start)
