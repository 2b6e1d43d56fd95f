"""Pickles of tensors (`.bin`, `.ckpt`), read without running what is in them."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_MOST = 4
"""How often a state dict may lie in another; one may hold itself."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a pickle; pickle.UnpicklingError if there is more than tensors in it.

    What is no plain tensor, or claims to be larger than its file, is a ValueError; what torch
    cannot read, one of its many errors.
    """
    with warnings.catch_warnings():
        # Of what is no pickle at all torch says first that it is of protocol 78.
        warnings.simplefilter("ignore")
        found: Any = torch.load(
            path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True
        )
    for _ in range(_MOST):
        if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
            found = found["state_dict"]
    size, total = path.stat().st_size, 0
    for name, value in found.items() if isinstance(found, dict) else [("the top", found)]:
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise ValueError(
                f"{name} is a {type(value).__name__}, where a model's state dict has tensors alone"
            )
        if type(value) not in (Tensor, torch.nn.Parameter) or not _is_plain(value):
            raise ValueError(f"{name} is no plain tensor")
        # One of few numbers may claim any shape, each of them read many times over.
        if value.numel() * value.itemsize > size:
            raise ValueError(f"{name} claims to be larger than its file")
        total += value.numel() * value.itemsize
    if total > 4 * size:
        raise ValueError("its tensors claim to be larger than the file")
    return found


def _is_plain(tensor: Tensor) -> bool:
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and not tensor.is_quantized
        and not tensor.is_complex()
    )


def payload_told(error: Exception) -> str:
    """What to say of a pickle that holds more than tensors, by torch's error."""
    # torch's own message advises to load it all the same.
    named = re.search(r"GLOBAL (\S+)", str(error))
    what = f"names {named[1]}" if named else "is no plain pickle of tensors"
    return (
        f"not opened, since it holds more than weights ({what}), and that could run code on this "
        "machine; get the model's .safetensors"
    )
