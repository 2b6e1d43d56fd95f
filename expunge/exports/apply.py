"""The model that deltas make of their base."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from erase.export.delta import Delta, apply_deltas, count_conflicts, read_delta
from erase.export.denoiser import WEIGHTS
from erase.export.lora.read import is_lora
from erase.export.pipeline import denoiser_folder_of, model_bytes, write_model
from erase.export.place import put_in_place
from erase.models.denoiser_files import OpenedDenoiser, open_denoiser
from erase.tensors.bits import content_hash
from erase.tensors.weight_files import Computed, Spec
from expunge.exports.applied_card import LONGEST, applied_card, applied_metadata
from expunge.exports.apply_lora import apply_loras
from expunge.settings.apply import Apply
from plumbing.errors import UsageError
from plumbing.lock import require_idle
from plumbing.visible_text import escape_markdown
from plumbing.whole_files import sha256_file


def apply(settings: Apply) -> dict[str, Any]:
    """Write the model without printing; returns its place, hash and the files' conflicts.

    It is read again and compared bit for bit before it takes its place. A file of another base, one
    that is damaged, or files of both kinds are a UsageError, and then nothing is written.
    """
    require_idle(Path(settings.model), "--model")
    loras = [path for path in settings.deltas if is_lora(path)]
    if not loras:
        return _apply_deltas(settings)
    if len(loras) < len(settings.deltas):
        raise UsageError(
            f"{loras[0]}: a LoRA beside deltas, which fit the untouched base alone; give files of "
            "one kind, for example by exporting each run's delta"
        )
    return apply_loras(settings)


def _apply_deltas(settings: Apply) -> dict[str, Any]:
    deltas = open_deltas(settings.deltas)
    opened = open_denoiser(
        settings.model,
        revision=settings.revision,
        variant=settings.variant,
        config=settings.config,
        prediction_type=settings.prediction_type,
    )
    dtype = deltas[0].dtype
    shapes = {name: spec.shape for name, spec in opened.weights.specs.items()}
    specs = {name: Spec(dtype, shape) for name, shape in shapes.items()}
    base = Computed(specs, lambda name: opened.weights[name].to(dtype))
    _require_base(deltas, opened, settings.model)
    for delta in deltas:
        _require_intact(delta, base)

    def compute(name: str) -> Tensor:
        result = apply_deltas(deltas, name, base[name], settings.strength)
        if not result.isfinite().all():
            raise UsageError(f"--strength {settings.strength:g}: {name} overflows; lower it")
        return result

    weights = Computed(specs, compute)

    paths, told = [delta.path for delta in deltas], [delta.metadata for delta in deltas]
    metadata = applied_metadata("deltas", paths, told, settings.strength, opened.config)

    def write(place: Path) -> None:
        write_model(opened, weights, metadata, place)
        if opened.pipeline:
            sha256 = sha256_file(denoiser_folder_of(opened, place) / WEIGHTS)
            strength, how = settings.strength, "these deltas, in this order"
            files = [(delta.metadata["expunge.concept"], _describe(delta)) for delta in deltas]
            card = applied_card(how, files, opened.pipeline, strength, str(dtype)[6:], sha256)
            (place / "README.md").write_text(card, encoding="utf-8")

    size = model_bytes(opened.pipeline, weights)
    written = put_in_place(settings.to, write, overwrite=settings.overwrite, size=size)
    return {
        "model": str(settings.to),
        "kind": "delta",
        "base": settings.model,
        "erased": [delta.metadata["expunge.concept"] for delta in deltas],
        "deltas": [str(delta.path) for delta in deltas],
        "strength": settings.strength,
        "dtype": str(dtype)[6:],
        "conflicts": count_conflicts(deltas),
        "written": written,
        "sha256": sha256_file(denoiser_folder_of(opened, settings.to) / WEIGHTS),
    }


def open_deltas(paths: Sequence[Path]) -> list[Delta]:
    """Open deltas that are to be taken together: of one base and one type, else a UsageError."""
    deltas = [read_delta(path) for path in paths]
    for delta in deltas[1:]:
        for key, meant in (("base_unet", "another base"), ("dtype", "another --dtype")):
            if delta.metadata[f"expunge.{key}"] != deltas[0].metadata[f"expunge.{key}"]:
                raise UsageError(f"{delta.path}: of {meant} than {deltas[0].path}; export it anew")
    return deltas


def _require_base(deltas: Sequence[Delta], opened: OpenedDenoiser, model: str) -> None:
    found, expected = content_hash(opened.weights), deltas[0].metadata["expunge.base_unet"]
    if found != expected:
        raise UsageError(
            f"--model {model}: not the base of {deltas[0].path} (its UNet has the hash "
            f"{found[:12]}, not {expected[:12]}); give the model that was erased from"
        )


def _require_intact(delta: Delta, base: Computed) -> None:
    erased = Computed(base.specs, lambda name: delta.flipped(name, base[name]))
    if content_hash(erased) != delta.metadata["expunge.erased_unet"]:
        raise UsageError(f"{delta.path}: damaged, it does not make what it was taken from; get it")


def _describe(delta: Delta) -> str:
    changed = escape_markdown(delta.metadata.get("expunge.changed", "?"), LONGEST)
    return f"{changed} weights; sha256 `{sha256_file(delta.path)}`"
