"""The tensors of a single `.safetensors` or `.ckpt` file, without running what is in a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

from torch import Tensor

from erase.tensors.pickles import payload_told, read_pickle
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.errors import UsageError


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
        return read_pickle(path)
    except pickle.UnpicklingError as error:
        raise UsageError(f"--model {path}: {payload_told(error)}") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--model {path}: cannot be read ({reason}); get it anew, or the model's .safetensors"
        ) from error
