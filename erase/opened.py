"""What the commands on finished work begin with: a run's weights and its base, or any UNet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.run import is_run, read_run
from erase.single_file import open_single_file
from erase.source import ModelSource, locate, locate_recorded
from erase.weights import Computed, Weights
from plumbing.config_check import problem_of
from plumbing.errors import UsageError
from plumbing.json_file import read_object


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
        if source.digest != base.get("digest"):
            raise UsageError(
                f"{self.folder}: its base {base['id']} is not the one that was erased (digest "
                f"{source.digest[:12]}, expected {base.get('digest', '')[:12]}); restore that model"
            )
        return source


@dataclass(frozen=True)
class OpenedUNet:
    """A UNet to be altered, and the model it is of if there is more than it."""

    weights: Weights | Computed
    config: Mapping[str, Any]
    source: ModelSource | None

    @property
    def pipeline(self) -> ModelSource | None:
        """The files of the whole model, if it is a folder whose other parts can be copied."""
        return None if self.source is None or self.source.single_file else self.source


def open_run(folder: Path) -> ErasedRun:
    """Open a run that is finished; anything else is a UsageError."""
    if not is_run(folder):
        raise UsageError(f"{folder}: no run folder; give one that `expunge erase` wrote")
    record = read_run(folder, "base", "concepts")
    if record.get("command") == "mask":
        raise UsageError(f"{folder}: a mask alone, nothing was erased; run `expunge erase --mask`")
    unet = folder / "unet"
    if not record.get("finished") or not (unet / "config.json").is_file():
        raise UsageError(f"{folder}: this run is not finished; finish it with its `expunge erase`")
    weights = Weights(sorted(unet.glob("*.safetensors")))
    return ErasedRun(folder, record, weights, read_config(unet))


def find_base(erased: ErasedRun, given: str | None, **words: Any) -> ModelSource:
    """The base that a run is to be compared with, whatever its hashes; gone is a UsageError.

    `given` is where it is now, and `words` what else `locate` is to be told of it.
    """
    base = erased.record["base"]
    if given:
        told = {key: value for key, value in words.items() if value is not None}
        return locate_recorded({**base, "id": given, "revision": None, **told})
    try:
        return locate_recorded(base)
    except UsageError as error:
        raise UsageError(f"{error}; if the base has moved, say where with --base") from error


def open_unet(
    model: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: Path | None = None,
    prediction_type: str | None = None,
) -> OpenedUNet:
    """Open a UNet that lies in a folder alone, or that of a model as `locate` finds it."""
    folder = Path(model)
    if (folder / "config.json").is_file():
        own = read_config(folder)
        files = sorted(folder.glob("*.safetensors"))
        if own.get("_class_name") != "UNet2DConditionModel" or not files:
            raise UsageError(f"--model {model}: neither a model's folder nor a UNet's; give one")
        return OpenedUNet(Weights(files), own, None)
    source = locate(
        model, revision=revision, variant=variant, config=config, prediction_type=prediction_type
    )
    return OpenedUNet(unet_weights(source), unet_config(source), source)


def unet_weights(source: ModelSource) -> Weights | Computed:
    """The UNet of a model under diffusers' names: a run's own, its folder's, or its file's."""
    if source.unet is not None:
        return Weights(sorted(source.unet.glob("*.safetensors")))
    if source.single_file is not None:
        # It builds the UNet with diffusers, which takes seconds to import.
        from erase.single_file_parts import unet_tensors

        return unet_tensors(
            open_single_file(
                source.single_file, config=source.folder, prediction_type=source.prediction_type
            )
        )
    names = [name for name in source.files if name.startswith("unet/")]
    return Weights([source.folder / n for n in names if n.endswith((".safetensors", ".bin"))])


def unet_config(source: ModelSource) -> Mapping[str, Any]:
    """The config.json of a model's UNet."""
    return read_config(source.unet or source.folder / "unet")


def read_config(folder: Path) -> Mapping[str, Any]:
    """The config.json in a folder; unreadable is a UsageError."""
    try:
        config = read_object(folder / "config.json")
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}/config.json: cannot be read ({error}); get it anew") from error
    if wrong := problem_of(config):
        raise UsageError(f"{folder}/config.json: {wrong}; get it anew")
    return config
