"""What a single file is written around: a base that is one, or a diffusers folder in its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.diffusion.scheduler_config import prediction_type_of, read_scheduler
from erase.models.architectures.families import SD1, SD2, SDXL, Family
from erase.models.denoiser_files import denoiser_config, denoiser_weights
from erase.models.model_source import ModelSource
from erase.models.single_file.part_keys import (
    ldm_clip,
    ldm_marks,
    ldm_open_clip,
    ldm_unet,
    ldm_vae,
    merged,
)
from erase.models.single_file.recognise import open_single_file
from erase.models.single_file.unet_keys import UNET_PREFIX, unet_keys
from erase.tensors.weight_files import Computed, Weights
from plumbing.errors import UsageError
from plumbing.json_file import read_object


@dataclass(frozen=True)
class SingleFileBase:
    """All tensors of a model under their LDM names, each read when asked for."""

    tensors: Weights | Computed
    unet: Mapping[str, str]
    """The full key of every UNet weight, by its diffusers name."""
    family: Family
    prediction_type: str
    metadata: Mapping[str, str]


def open_base(source: ModelSource) -> SingleFileBase:
    """Open a model's files; one that the LDM layout has no names for is a UsageError."""
    require_single_file(source, "--format single-file")
    if source.single_file is None:
        return _from_diffusers(source)
    # It imports diffusers, which takes seconds and which a folder does not need.
    from erase.models.single_file.parts import unet_names

    file = open_single_file(
        source.single_file, config=source.folder, prediction_type=source.prediction_type
    )
    tensors, names = file.tensors, unet_names(file)
    return SingleFileBase(tensors, names, file.family, file.prediction_type, tensors.metadata)


def require_single_file(source: ModelSource, what: str) -> None:
    """Refuse, as a UsageError, an architecture that has no single files in the LDM layout."""
    if not source.architecture.single_files:
        raise UsageError(
            f"{what}: there is none for {source.architecture.title}; "
            "use --format pipeline, unet or delta"
        )


def _from_diffusers(source: ModelSource) -> SingleFileBase:
    unet = denoiser_weights(source)
    config = denoiser_config(source)
    keys = unet_keys(config, unet)
    family = family_of(source)
    vae = source.architecture.config("vae", _read(source.folder / "vae" / "config.json"))
    scheduler = read_scheduler(source.folder)
    tensors = merged(
        ldm_unet(unet, keys),
        ldm_vae(_weights(source, "vae"), len(vae["up_block_types"])),
        *(ldm_clip(_weights(source, part), prefix) for part, prefix in family.clip.items()),
        *(ldm_open_clip(_weights(source, part), p) for part, p in family.open_clip.items()),
        ldm_marks(*_marks(family, scheduler)),
    )
    names = {name: UNET_PREFIX + key for name, key in keys.items()}
    predicted = prediction_type_of(scheduler)
    return SingleFileBase(tensors, names, family, predicted, {})


def family_of(source: ModelSource) -> Family:
    """Which family's layout and names a model has."""
    families = source.architecture.single_files
    if len(families) == 1:
        return families[0]
    text = _read(source.folder / "text_encoder" / "config.json")
    # OpenCLIP's text encoder, which SD 2 took, has the exact GELU.
    return SD1 if text.get("hidden_act", "quick_gelu") == "quick_gelu" else SD2


def _marks(family: Family, scheduler: Mapping[str, Any]) -> list[str]:
    """The keys by which interfaces know an SDXL that predicts v, or begins at pure noise."""
    if family is not SDXL or scheduler.get("prediction_type") != "v_prediction":
        return []
    return ["v_pred", "ztsnr"] if scheduler.get("rescale_betas_zero_snr") else ["v_pred"]


def _weights(source: ModelSource, part: str) -> Weights:
    return Weights(source.weights_of(part).files)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); get it anew") from error
