"""`expunge export`: what a run erased as a UNet, as a whole model, or as a delta."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erase.commands.model_card import write_card
from erase.config import Export
from erase.export.delta import write_delta
from erase.export.pipeline import write_pipeline
from erase.export.place import put_in_place
from erase.export.single_file import export_single_file
from erase.export.unet import WEIGHTS, write_unet_files
from erase.opened import ErasedRun, open_run, unet_weights
from erase.saliency import SaliencyMask
from erase.source import sha256_file
from erase.weights import (
    Computed,
    Spec,
    Weights,
    blend,
    changed_places,
    content_hash,
    one_dtype,
    require_alike,
    same_bits,
)
from prompts.errors import UsageError

log = logging.getLogger(__name__)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def run(settings: Export) -> dict[str, Any]:
    """Export, and print a small table, or one JSON object; returns what was written."""
    result = export_run(settings)
    print(json.dumps(result) if settings.json else _table(result))
    return result


def export_run(settings: Export) -> dict[str, Any]:
    """Write an export without printing; returns its place, size and hash.

    It is read again and compared bit for bit before it takes its place. Bad input is a UsageError,
    and then nothing is written.
    """
    if settings.format == "single-file":
        place, ema = settings.place, settings.ema
        return export_single_file(settings.target, place, ema=ema, overwrite=settings.overwrite)
    erased = open_run(settings.target)
    dtype = DTYPES[settings.dtype] if settings.dtype else _stored(erased)
    makers = {"unet": _write_unet, "pipeline": _write_pipeline, "delta": _write_delta}
    write = makers[settings.format](erased, settings, dtype)
    place = settings.place
    written = put_in_place(place, write, overwrite=settings.overwrite)
    if not written:
        log.info("%s: this very export is there", place)
    file = {"unet": place / WEIGHTS, "pipeline": place / "unet" / WEIGHTS, "delta": place}
    weights = file[settings.format]
    return {
        "export": str(place),
        "format": settings.format,
        "concept": erased.concept,
        "strength": settings.strength,
        "dtype": str(dtype)[6:],
        "written": written,
        "sha256": sha256_file(weights),
        "bytes": weights.stat().st_size,
        "unet_bytes": sum(spec.count for spec in erased.weights.specs.values()) * dtype.itemsize,
    }


def _stored(erased: ErasedRun) -> torch.dtype:
    return one_dtype(erased.weights.specs, erased.folder)


Writer = Callable[[Path], None]


def _write_unet(erased: ErasedRun, settings: Export, dtype: torch.dtype) -> Writer:
    base = unet_weights(erased.locate_base()) if settings.strength != 1 else None
    weights = _blended(erased.weights, base, settings.strength, dtype)
    metadata = _metadata(erased.weights, settings.strength)
    return lambda place: write_unet_files(weights, erased.config, place, metadata)


def _write_pipeline(erased: ErasedRun, settings: Export, dtype: torch.dtype) -> Writer:
    source = erased.locate_base()
    base = unet_weights(source) if settings.strength != 1 else None
    weights = _blended(erased.weights, base, settings.strength, dtype)
    metadata = _metadata(erased.weights, settings.strength)

    def write(place: Path) -> None:
        write_pipeline(weights, erased.config, metadata, source, place)
        card = write_card(
            erased,
            strength=settings.strength,
            dtype=str(dtype)[6:],
            as_measured=settings.strength == 1 and dtype == _stored(erased),
            weights_sha256=sha256_file(place / "unet" / WEIGHTS),
        )
        (place / "README.md").write_text(card, encoding="utf-8")

    return write


def _write_delta(erased: ErasedRun, settings: Export, dtype: torch.dtype) -> Writer:
    source = erased.locate_base()
    original = unet_weights(source)
    before = _exact(original, dtype)
    after = _blended(erased.weights, original, settings.strength, dtype)
    mask = SaliencyMask.load(erased.folder / "mask.safetensors")
    _require_selected(before, after, mask, erased.folder)
    metadata = {
        "expunge.concept": erased.concept,
        "expunge.method": str(erased.record.get("method")),
        "expunge.density": mask.metadata.get("density", "1.0"),
        "expunge.selected": str(mask.kept),
        "expunge.strength": repr(settings.strength),
        "expunge.dtype": str(dtype)[6:],
        "expunge.base": source.digest,
        "expunge.base_dtype": str(one_dtype(original.specs, source.id))[6:],
        "expunge.base_unet": content_hash(before),
        "expunge.erased_unet": content_hash(after),
    }

    def write(place: Path) -> None:
        write_delta(before, after, place, metadata)

    return write


def _blended(
    erased: Weights, base: Weights | Computed | None, strength: float, dtype: torch.dtype
) -> Computed:
    """The weights between the base's and erased ones, in `dtype`; `base` is None at strength 1."""
    if base is not None:
        require_alike(base.specs, erased.specs, erased.files[0])

    def compute(name: str) -> Tensor:
        weight = erased[name]
        if base is not None:
            weight = blend(base[name].to(weight.dtype), weight, strength)
        result = weight.to(dtype)
        if not result.isfinite().all():
            raise UsageError(
                f"{name} is not finite at strength {strength:g} in {str(dtype)[6:]}; "
                "try --dtype bf16 or fp32, or `expunge verify` if it was not before"
            )
        return result

    return Computed({n: Spec(dtype, spec.shape) for n, spec in erased.specs.items()}, compute)


def _exact(base: Weights | Computed, dtype: torch.dtype) -> Computed:
    """The base's weights in `dtype`, each a UsageError unless it can be had back from there."""

    def compute(name: str) -> Tensor:
        weight = base[name]
        result = weight.to(dtype)
        if not same_bits(result.to(weight.dtype), weight):
            raise UsageError(
                f"--format delta: the base's {name} is {str(weight.dtype)[6:]} and would not come "
                f"back from {str(dtype)[6:]}; choose a --dtype that holds it"
            )
        return result

    return Computed({n: Spec(dtype, spec.shape) for n, spec in base.specs.items()}, compute)


def _require_selected(before: Computed, after: Computed, mask: SaliencyMask, folder: Path) -> None:
    for name in after:
        changed = changed_places(before[name], after[name])
        if name in mask.shapes and mask.shapes[name] == tuple(changed.shape):
            changed &= ~mask.bits(name)
        if changed.any():
            raise UsageError(
                f"{folder}: {name} differs from the base outside the mask; see `expunge verify`"
            )


def _metadata(erased: Weights, strength: float) -> Mapping[str, str]:
    """What the run's file tells of itself, and the strength if it is another."""
    if strength == 1:
        return erased.metadata
    title = erased.metadata.get("modelspec.title", "")
    return {
        **erased.metadata,
        "modelspec.title": f"{title} (strength {strength:g})".strip(),
        "expunge.strength": repr(strength),
    }


def _table(result: Mapping[str, Any]) -> str:
    if result["format"] == "single-file":
        copies = f"; {len(result['dropped'])} tensors of copies of it left out"
        weights = f"{result['unet']} of {result['tensors']} tensors are the UNet's{copies}"
    else:
        weights = f"{result['dtype']} at strength {result['strength']:g}"
    size = f"{result['bytes']:,} bytes"
    if result["format"] == "delta":
        size += f", {100 * result['bytes'] / result['unet_bytes']:.1f} % of the UNet's"
    rows = {
        "erased": result["concept"],
        result["format"]: result["export"],
        "weights": weights,
        "size": size,
        "sha256": result["sha256"],
        "checked": "read back, every tensor bit-equal"
        if result["written"]
        else "this very export was there",
    }
    return "\n".join(f"{name:>10}  {value}" for name, value in rows.items())
