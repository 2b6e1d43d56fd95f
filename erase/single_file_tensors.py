"""The tensors of a single `.safetensors` or `.ckpt` file, without running what is in a pickle."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erase.weights import Computed, Spec, Weights
from prompts.errors import UsageError


def read_tensors(path: Path) -> tuple[Weights | Computed, dict[str, str]]:
    """A file's tensors, each read when asked for, and its metadata; unreadable: UsageError."""
    if not path.is_file():
        raise UsageError(f"--model {path}: no such file")
    if path.suffix == ".ckpt":
        found = _read_pickle(path)
        specs = {name: Spec(tensor.dtype, tuple(tensor.shape)) for name, tensor in found.items()}
        return Computed(specs, found.__getitem__), {}
    weights = Weights([path])
    return weights, weights.metadata


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.ckpt`; nothing in the pickle is run, and only tensors may be in it."""
    try:
        found: Any = torch.load(
            path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True
        )
    except pickle.UnpicklingError as error:
        # torch's own message advises to load it all the same.
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"names {named[1]}" if named else "is no plain pickle of tensors"
        raise UsageError(
            f"--model {path}: not opened, since it holds more than weights ({what}), and that could"
            " run code on this machine; get the model's .safetensors"
        ) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--model {path}: cannot be read ({reason}); get it anew") from error
    while isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    for name, value in found.items() if isinstance(found, dict) else [("the top", found)]:
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise UsageError(
                f"--model {path}: {name} is a {type(value).__name__}, where a model's state dict "
                "has tensors alone; get the model's .safetensors"
            )
    return found
