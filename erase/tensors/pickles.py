"""Pickles of tensors (`.bin`, `.ckpt`, `.pt`, `.pth`), read without running what is in them."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from erase.tensors.quantised import too_coarse
from plumbing.file_content import CutOffError, NotWeightsError

_MOST = 4
"""How often a state dict may lie in another; one may hold itself."""
_HYPERNETWORK = ("step", "name", "layer_structure", "activation_func", "is_layer_norm")
_HYPERNETWORK += ("weight_initialization", "use_dropout", "activate_output", "last_layer_dropout")
_HYPERNETWORK += ("dropout_structure", "optional_info", "sd_checkpoint", "sd_checkpoint_name")


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a pickle; pickle.UnpicklingError if there is more than tensors in it.

    What is no plain tensor, or claims to be larger than its file, is a ValueError, one that ends
    too early a CutOffError; what torch cannot read, one of its many errors.
    """
    found = _load(path)
    for _ in range(_MOST):
        if isinstance(found, dict):
            inner = found.get("state_dict", *(found.values() if len(found) == 1 else ()))
            found = inner if isinstance(inner, dict) else found
    if told := _other_content(found):
        raise NotWeightsError(*told)
    size, total = path.stat().st_size, 0
    for name, value in found.items() if isinstance(found, dict) else [("the top", found)]:
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise ValueError(
                f"{name} is a {type(value).__name__}, where a model's state dict has tensors alone"
            )
        if type(value) in (Tensor, torch.nn.Parameter) and value.is_quantized:
            raise too_coarse(str(value.dtype)[6:])
        if type(value) not in (Tensor, torch.nn.Parameter) or not _is_plain(value):
            raise ValueError(f"{name} is no plain tensor")
        # One of few numbers may claim any shape, each of them read many times over.
        if value.numel() * value.itemsize > size:
            raise ValueError(f"{name} claims to be larger than its file")
        total += value.numel() * value.itemsize
    if total > 4 * size:
        raise ValueError("its tensors claim to be larger than the file")
    return found


def _load(path: Path) -> Any:
    # By its path torch takes a file for what its name says. Only by its path it can be mapped.
    in_zip = zipfile.is_zipfile(path) and not path.name.endswith(".safetensors")
    with warnings.catch_warnings(), path.open("rb") as file:
        # Of what is no pickle at all torch says first that it is of protocol 78.
        warnings.simplefilter("ignore")
        source = path if in_zip else file
        try:
            return torch.load(source, map_location="cpu", mmap=in_zip, weights_only=True)
        except Exception as error:
            ended = isinstance(error, EOFError) or "unexpected EOF" in str(error)
            if ended or _read_out(file):
                raise CutOffError("the pickle in it has no end") from error
            raise


def _read_out(file: BinaryIO) -> bool:
    """Whether a pickle was read up to the file's end, and that is not a pickle's."""
    end = file.tell()
    file.seek(-1, os.SEEK_END)
    return file.read() != b"." and file.tell() == end


def _other_content(found: Any) -> tuple[str, str] | None:
    """What a pickle is that users have beside models, and what to do; None if it may be one."""
    if not isinstance(found, dict):
        return None
    if "string_to_param" in found:
        return "an embedding (textual inversion)", "give the model that it is used with"
    if found and all(isinstance(key, int) or key in _HYPERNETWORK for key in found):
        return "a hypernetwork", "give the model that it is used with"
    if any(key in found for key in ("optimizer", "optimizer_states", "optimizer_state_dict")):
        return "the saved state of a training", "save the model's state_dict() alone"
    if len(inside := [str(key)[:40] for key in found if isinstance(found[key], dict)]) > 1:
        told = ", ".join(inside[:3])
        return f"several state dicts in one pickle ({told})", "save the model's alone"
    return None


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
