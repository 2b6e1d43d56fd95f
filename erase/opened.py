"""What the commands on finished work begin with: a run's weights and its base, or any UNet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.run import is_run, read_run
from erase.single_file import open_single_file
from erase.single_file_parts import unet_tensors
from erase.source import ModelSource, locate, locate_recorded
from erase.weights import Computed, Weights
from prompts.errors import UsageError


@dataclass(frozen=True)
class ErasedRun:
    """A finished run, its weights not read yet."""

    folder: Path
    record: Mapping[str, Any]
    """The content of run.json."""
    weights: Weights
    """The erased UNet."""
    config: Mapping[str, Any]
    """The UNet's config.json."""

    @property
    def concept(self) -> str:
        """What was erased."""
        concept = self.record.get("concept") or {}
        return concept.get("name") or " and ".join(self.record["concepts"])

    def locate_base(self) -> ModelSource:
        """Find the model it was erased from; gone or altered is a UsageError."""
        base = self.record["base"]
        source = locate_recorded(base)
        if source.digest != base["digest"]:
            raise UsageError(
                f"{self.folder}: its base {base['id']} is not the one that was erased (digest "
                f"{source.digest[:12]}, expected {base['digest'][:12]}); restore that model"
            )
        return source


@dataclass(frozen=True)
class OpenedUNet:
    """A UNet to be altered, and the model around it if there is one."""

    weights: Weights | Computed
    config: Mapping[str, Any]
    source: ModelSource | None


def open_run(folder: Path) -> ErasedRun:
    """Open a run that is finished; anything else is a UsageError."""
    if not is_run(folder):
        raise UsageError(f"{folder}: no run folder; give one that `expunge erase` wrote")
    record = read_run(folder)
    if record.get("command") == "mask":
        raise UsageError(f"{folder}: a mask alone, nothing was erased; run `expunge erase --mask`")
    unet = folder / "unet"
    if not record.get("finished") or not (unet / "config.json").is_file():
        raise UsageError(f"{folder}: this run is not finished; finish it with its `expunge erase`")
    weights = Weights(sorted(unet.glob("*.safetensors")))
    return ErasedRun(folder, record, weights, _read_config(unet))


def open_unet(model: str, *, revision: str | None = None, variant: str | None = None) -> OpenedUNet:
    """Open a UNet that lies in a folder alone, or that of a model as `locate` finds it."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        config = _read_config(folder)
        files = sorted(folder.glob("*.safetensors"))
        if config.get("_class_name") != "UNet2DConditionModel" or not files:
            raise UsageError(f"--model {model}: neither a model's folder nor a UNet's; give one")
        return OpenedUNet(Weights(files), config, None)
    source = locate(model, revision=revision, variant=variant)
    return OpenedUNet(unet_weights(source), unet_config(source), source)


def unet_weights(source: ModelSource) -> Weights | Computed:
    """The UNet of a model under diffusers' names: a run's own, its folder's, or its file's."""
    if source.unet is not None:
        return Weights(sorted(source.unet.glob("*.safetensors")))
    if source.single_file is not None:
        return unet_tensors(
            open_single_file(
                source.single_file, config=source.folder, prediction_type=source.prediction_type
            )
        )
    names = [name for name in source.files if name.startswith("unet/")]
    return Weights([source.folder / n for n in names if n.endswith((".safetensors", ".bin"))])


def unet_config(source: ModelSource) -> Mapping[str, Any]:
    """The config.json of a model's UNet."""
    return _read_config(source.unet or source.folder / "unet")


def _read_config(folder: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}/config.json: cannot be read ({error}); get it anew") from error
    if not isinstance(config, dict):
        raise UsageError(f"{folder}/config.json: no JSON object; get it anew")
    return config
