"""What the commands on finished work begin with: a run's weights and its base, or any UNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.models.architectures.known import of_config, of_denoiser
from erase.models.locate import locate
from erase.models.model_source import ModelSource
from erase.models.part_weights import DIFFUSERS, names_in, require_variant, require_weights
from erase.models.single_file.recognise import open_single_file
from erase.tensors.weight_files import Computed, Weights
from plumbing.config_check import problem_of
from plumbing.errors import UsageError
from plumbing.json_file import read_object


@dataclass(frozen=True)
class OpenedDenoiser:
    """A UNet to be altered, and the model it is of if there is more than it."""

    weights: Weights | Computed
    config: Mapping[str, Any]
    source: ModelSource | None

    @property
    def pipeline(self) -> ModelSource | None:
        """The files of the whole model, if it is a folder whose other parts can be copied."""
        return None if self.source is None or self.source.single_file else self.source


def open_denoiser(
    model: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: Path | None = None,
    prediction_type: str | None = None,
) -> OpenedDenoiser:
    """Open a UNet that lies in a folder alone, or that of a model as `locate` finds it."""
    folder = Path(model).expanduser() if model.startswith("~") else Path(model)
    if (folder / "config.json").is_file():
        own = read_config(folder)
        if of_denoiser(own.get("_class_name")) is None:
            raise UsageError(f"--model {model}: neither a model's folder nor a UNet's; give one")
        return OpenedDenoiser(_alone(model, folder, revision, variant), own, None)
    source = locate(
        model, revision=revision, variant=variant, config=config, prediction_type=prediction_type
    )
    return OpenedDenoiser(denoiser_weights(source), denoiser_config(source), source)


def _alone(model: str, folder: Path, revision: str | None, variant: str | None) -> Weights:
    """The weights of a UNet in a folder of its own."""
    if revision is not None:
        raise UsageError(f"--revision {revision}: goes with a model of the hub; leave it out")
    require_variant(model, {"": (DIFFUSERS, names_in(folder))}, variant)
    return Weights(require_weights(f"--model {model}", folder, DIFFUSERS, variant).files)


def denoiser_weights(source: ModelSource) -> Weights | Computed:
    """The UNet of a model under diffusers' names: a run's own, its folder's, or its file's."""
    if source.single_file is not None and source.denoiser is None:
        # It builds the UNet with diffusers, which takes seconds to import.
        from erase.models.single_file.parts import unet_tensors

        return unet_tensors(
            open_single_file(
                source.single_file, config=source.folder, prediction_type=source.prediction_type
            )
        )
    return Weights(source.weights_of(source.architecture.denoiser).files)


def denoiser_config(source: ModelSource) -> Mapping[str, Any]:
    """The config.json of a model's UNet."""
    return read_config(source.denoiser_folder)


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json in a folder; unreadable is a UsageError."""
    try:
        config = read_object(folder / "config.json")
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}/config.json: cannot be read ({error}); get it anew") from error
    if wrong := problem_of(config):
        raise UsageError(f"{folder}/config.json: {wrong}; get it anew")
    own = of_config(config)
    return own.config(own.denoiser, config)
