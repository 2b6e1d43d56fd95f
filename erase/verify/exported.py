"""What was exported or made, opened for checking: a file, a model's folder, a UNet's, a delta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from erase.export.delta import Delta, read_delta
from erase.export.pipeline import INDEX
from erase.models.architectures.architecture import Architecture
from erase.models.architectures.known import of_config, of_denoiser
from erase.models.denoiser_files import denoiser_config, denoiser_weights, read_config
from erase.models.locate import locate
from erase.models.model_source import ModelSource
from erase.models.part_config import build
from erase.models.part_weights import DIFFUSERS, require_weights
from erase.models.single_file.recognise import recognise
from erase.models.single_file.unet_keys import UNET_PREFIX
from erase.run_folder.folder import is_run
from erase.tensors.kinds import kind_of
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.errors import UsageError

Kind = Literal["single file", "pipeline", "UNet", "delta"]


@dataclass(frozen=True)
class Exported:
    """A thing that was exported or made, its tensors not read yet."""

    path: Path
    kind: Kind
    tensors: Weights | Computed
    """A single file's or a delta's own, or else those of the UNet."""
    metadata: Mapping[str, str]
    config: Mapping[str, Any] | None = None
    """The UNet's config.json, if there is one."""
    source: ModelSource | None = None
    """The files of a pipeline."""
    delta: Delta | None = None

    @property
    def architecture(self) -> Architecture:
        """What it is of; a file in the original layout is of a Stable Diffusion."""
        return self.source.architecture if self.source else of_config(self.config or {})

    @property
    def run(self) -> Path | None:
        """The run below whose `export/` it lies."""
        for folder in self.path.resolve().parents:
            if folder.name == "export" and is_run(folder.parent):
                return folder.parent
        return None

    @property
    def concept(self) -> str | None:
        """What it says was erased."""
        return self.metadata.get("expunge.concept")


def open_exported(path: Path) -> Exported:
    """Open what `expunge export` or `apply` wrote; what neither writes is a UsageError."""
    if path.is_file():
        return _open_file(path)
    if (path / INDEX).is_file():
        try:
            source = locate(str(path))
        except UsageError as error:
            raise UsageError(str(error).removeprefix("--model ")) from error
        weights = denoiser_weights(source)
        return Exported(
            path, "pipeline", weights, _metadata(weights), denoiser_config(source), source=source
        )
    config = read_config(path) if (path / "config.json").is_file() else {}
    if of_denoiser(config.get("_class_name")):
        weights = Weights(require_weights(str(path), path, DIFFUSERS).files)
        return Exported(path, "UNet", weights, weights.metadata, config)
    raise UsageError(
        f"{path}: no run folder, and nothing that `expunge export` or `apply` writes; give a run, "
        "a .safetensors file, or the folder of a pipeline or of a UNet"
    )


def _metadata(weights: Weights | Computed) -> Mapping[str, str]:
    return weights.metadata if isinstance(weights, Weights) else {}


def _open_file(path: Path) -> Exported:
    weights = Weights([path])
    if weights.metadata.get("expunge.format") == "delta":
        delta = read_delta(path)
        return Exported(path, "delta", weights, weights.metadata, delta=delta)
    if "conv_in.weight" in weights.specs:
        return Exported(path, "UNet", weights, weights.metadata)
    if any("lora" in name for name in weights.specs):
        raise UsageError(f"{path}: a LoRA, which has no weights of the base; verify its run")
    if not any(name.startswith(UNET_PREFIX) for name in weights.specs):
        told = kind_of(weights.specs, weights.metadata)
        known = f"is {told.what}" if told else "holds no UNet and is no delta"
        raise UsageError(f"{path}: {known}; give what `expunge export` or `apply` wrote")
    try:
        recognise(path, weights.specs)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("--model ")) from error
    return Exported(path, "single file", weights, weights.metadata)


def specs_of_config(config: Mapping[str, Any]) -> dict[str, Spec]:
    """Name, type (float32) and shape of every weight of the denoiser of a config.json."""
    # It takes seconds to import, and most of what is checked needs none of it.
    from accelerate import init_empty_weights

    architecture = of_config(config)
    with init_empty_weights():
        model = build(architecture.kind(architecture.denoiser), config)
    return {n: Spec(t.dtype, tuple(t.shape)) for n, t in model.state_dict().items()}
