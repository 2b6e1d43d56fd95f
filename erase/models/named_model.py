"""What a user's `--model` names, in the forms that people give it in; reads no weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from erase.models.model_source import INDEX
from erase.run_folder.folder import RUN_FILE, is_run
from plumbing.errors import UsageError
from plumbing.json_file import read_object

SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")
"""What files with weights are called."""
_ADDRESS = re.compile(r"(https?://|hf://|(?:www\.)?(?:huggingface\.co|hf\.co|civitai\.com)/)", re.I)
_HUB = re.compile(r"(?:https?://|hf://)?(?:www\.)?(?:huggingface\.co/|hf\.co/)?([^?#]*)", re.I)
_PARTS = {
    "UNet2DConditionModel": "a UNet",
    "AutoencoderKL": "an autoencoder (VAE)",
    "ControlNetModel": "a ControlNet",
    "CLIPTextModel": "a text encoder",
    "CLIPTextModelWithProjection": "a text encoder",
}


def meant(model: str) -> str:
    """A model as `locate` looks for it: a folder, a file or a hub id.

    `~` is the home folder, `model_index.json` or a part's folder stands for the whole model, and
    the address of a hub's page for its OWNER/NAME; any other address is a UsageError.
    """
    model = model.strip()
    if _ADDRESS.match(model) and not Path(model).exists():
        return _of_address(model)
    path = Path(model).expanduser() if model.startswith("~") else Path(model)
    if path.name in (INDEX, RUN_FILE) and path.is_file():
        return str(path.parent)
    # The whole model's folder has parts of its own; a part's is one of them.
    if (path / "config.json").is_file() and not (path / INDEX).is_file():
        home = path.resolve().parent
        if (home / INDEX).is_file() or is_run(home):
            return str(home)
    # What is not there may be on the hub, where `./OWNER/NAME` is none.
    return str(path) if path.exists() or model.startswith("~") else model.rstrip("/")


def _of_address(model: str) -> str:
    found = _HUB.fullmatch(model.partition("?")[0].partition("#")[0])
    words = [word for word in (found[1] if found else "").split("/") if word]
    on_hub = re.match(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/|hf://", model, re.I)
    if not on_hub or len(words) < 2 or words[0] in ("datasets", "spaces"):
        raise UsageError(
            f"--model {model}: a web address; download the model, and give its file or folder"
        )
    name, rest = "/".join(words[:2]), words[2:]
    if rest[:1] in (["resolve"], ["blob"]) and len(rest) > 2:
        file = "/".join(rest[2:])
        raise UsageError(
            f"--model {model}: a web address of one file; `hf download {name} {file}`, and give "
            "the path that this prints"
        )
    if rest[:1] == ["tree"] and rest[1:] not in ([], ["main"]):
        raise UsageError(f"--model {model}: give --model {name} --revision {rest[1]}")
    return name


def is_single_file(model: str) -> bool:
    """Whether `locate` takes this for one file with a whole model, there or not."""
    path = Path(meant(model))
    known = path.suffix.lower() in SUFFIXES and not path.is_dir()
    return model != "miniature" and (path.is_file() or known)


def no_model_in(folder: Path) -> str:
    """What a folder is that is neither a model nor a run, and what to do."""
    inner = [each.parent.name for each in sorted(folder.glob(f"*/{INDEX}"))]
    inner += [each.parent.name for each in sorted(folder.glob(f"*/{RUN_FILE}"))]
    if inner:
        return f"give a folder in it, as {folder.name}/{inner[0]}"
    if (folder / "adapter_config.json").is_file():
        return "it is a LoRA; merge it into its model (fuse_lora of diffusers), and give that"
    if (part := _part_in(folder)) is not None:
        return (
            f"it is {part} alone; put it into a copy of its model's diffusers folder, and give that"
        )
    files = [each.name for each in sorted(folder.iterdir()) if each.suffix.lower() in SUFFIXES]
    if files:
        return f"give the file in it, as {folder.name}/{files[0]}"
    return "give a diffusers pipeline folder or a run folder"


def _part_in(folder: Path) -> str | None:
    """The part of a model that a folder's config.json is of."""
    try:
        config: dict[str, Any] = read_object(folder / "config.json")
    except (OSError, ValueError):
        return None
    names = config.get("architectures")
    names = [config.get("_class_name"), *(names if isinstance(names, list) else [])]
    known = (_PARTS.get(name) for name in names if isinstance(name, str))
    return next(filter(None, known), "a part of a model")
