"""`expunge apply` of LoRAs: what they add up to on their base."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erase.export.denoiser import WEIGHTS
from erase.export.lora.read import LoraFile, add_loras, bind_lora, count_shared, read_lora
from erase.export.pipeline import denoiser_folder_of, model_bytes, write_model
from erase.export.place import put_in_place
from erase.models.denoiser_files import open_denoiser
from erase.tensors.bits import content_hash
from erase.tensors.weight_files import Weights
from expunge.exports.applied_card import applied_card, applied_metadata
from expunge.settings.apply import Apply
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file


def apply_loras(settings: Apply) -> dict[str, Any]:
    """Write the base with all of the LoRAs in it; returns its place, hash and the layers shared.

    The same bytes whatever the order they are given in. A LoRA of another base, or of none that it
    tells, is a UsageError, and then nothing is written.
    """
    files = {path: read_lora(path) for path in settings.deltas}
    opened = open_denoiser(
        settings.model,
        revision=settings.revision,
        variant=settings.variant,
        config=settings.config,
        prediction_type=settings.prediction_type,
    )
    _require_base(files, content_hash(opened.weights), settings.model)
    specs = opened.weights.specs
    # Sums of floats depend on their order.
    order = sorted(files, key=sha256_file)
    loras = [bind_lora(path, files[path], specs, opened.config) for path in order]
    weights = add_loras(loras, opened.weights, settings.strength)

    paths, told = [lora.path for lora in loras], [lora.weights.metadata for lora in loras]
    metadata = applied_metadata("loras", paths, told, settings.strength, opened.config)

    def write(place: Path) -> None:
        write_model(opened, weights, metadata, place)
        if opened.pipeline:
            sha256 = sha256_file(denoiser_folder_of(opened, place) / WEIGHTS)
            files = [(lora.told("concept"), _describe(lora)) for lora in loras]
            how = "these LoRAs, added up"
            card = applied_card(how, files, opened.pipeline, settings.strength, "float32", sha256)
            (place / "README.md").write_text(card, encoding="utf-8")

    size = model_bytes(opened.pipeline, weights)
    written = put_in_place(settings.to, write, overwrite=settings.overwrite, size=size)
    return {
        "model": str(settings.to),
        "kind": "lora",
        "base": settings.model,
        "erased": [lora.told("concept") for lora in loras],
        "loras": [str(lora.path) for lora in loras],
        "strength": settings.strength,
        "dtype": "float32",
        "conflicts": count_shared(loras, specs),
        "written": written,
        "sha256": sha256_file(denoiser_folder_of(opened, settings.to) / WEIGHTS),
    }


def _require_base(files: Mapping[Path, Weights], found: str, model: str) -> None:
    for path, weights in files.items():
        expected = weights.metadata["expunge.base_unet"]
        if found != expected:
            raise UsageError(
                f"--model {model}: not the base of {path} (its UNet has the hash {found[:12]}, "
                f"not {expected[:12]}); give the model that was erased from"
            )


def _describe(lora: LoraFile) -> str:
    return f"residual {lora.told('residual')}; sha256 `{sha256_file(lora.path)}`"
