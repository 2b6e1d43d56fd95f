"""Opening a judge's folder with care."""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from plumbing.config_check import problem_of
from plumbing.errors import UsageError
from plumbing.file_content import weights_kind
from plumbing.home import find_home
from plumbing.json_file import read_object


@contextmanager
def opening(what: str, source: str | Path) -> Iterator[None]:
    """Turn whatever keeps a model from opening into a UsageError of one line.

    A stranger's folder is looked at first: one that would have code run, or another model opened
    in its place, is refused.
    """
    from transformers.utils import logging

    # Its bar counts tensors that are there at once.
    logging.disable_progress_bar()
    try:
        _refuse_strange(Path(source))
        yield
    # A stranger's files can be wrong in more ways than the libraries have names for.
    except Exception as error:
        raise UsageError(f"cannot open the {what} {source}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """An error in one line, without the advice to run what a pickle brings."""
    text = str(error).strip()
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "it holds more than weights, and that could run code on this machine"
    return text.splitlines()[0] if text else repr(error)


def _refuse_strange(folder: Path) -> None:
    if (folder / "adapter_config.json").exists():
        # transformers would open the model that it names, wherever that is.
        raise ValueError("adapter_config.json leads to another model")
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        for file in sorted(folder.glob(pattern)):
            _require_weights(file)
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_object(folder / name)
            if name == "tokenizer_config.json":
                found = {key: found[key] for key in ("auto_map",) if key in found}
            if wrong := problem_of(found):
                raise ValueError(f"{name}: {wrong}")


def _require_weights(file: Path) -> None:
    """Raise ValueError, which tells what it is, for a file with no weights in it."""
    try:
        weights_kind(file)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from None


def open_config(source: str | Path) -> Any:
    """The configuration of a folder or hub model, of a size that can be meant; else ValueError."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if wrong := problem_of(config.to_dict()):
        raise ValueError(f"config.json: {wrong}")
    return config


def refuse_missing(what: str, source: str | Path, report: Mapping[str, Any]) -> None:
    """UsageError if weights were missing: random ones in their place would judge at random."""
    if report["missing_keys"]:
        raise UsageError(f"the {what} {source} lacks weights: {sorted(report['missing_keys'])[0]}")


def model_name(source: str | Path) -> str:
    """How results call a model: a folder's own name, or the hub id."""
    # The folder alone, so that results do not hang on where the model lies.
    path = Path(source)
    if not path.is_dir():
        return str(source)
    # Two names tell `judge/object` from another's; but a home folder's is its owner's.
    home = find_home()
    at_home = home is not None and path.resolve().parent == home.resolve()
    return "/".join(path.parts[-1 if at_home else -2 :])


def hash_weights(model: torch.nn.Module) -> str:
    """One sha256 over the names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
