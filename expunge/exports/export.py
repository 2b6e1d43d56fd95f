"""Write a run in the form that is asked for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from erase.export.blended import DTYPES, blended_run, run_metadata, stored_dtype
from erase.export.denoiser import WEIGHTS, write_denoiser_files
from erase.export.pipeline import model_bytes, write_pipeline
from erase.export.place import Writer, put_in_place
from erase.export.run_delta import delta_writer
from erase.export.single_file import export_single_file
from erase.models.erased_run import ErasedRun, open_run
from erase.models.hub import push_folder, require_pushable
from expunge.exports.export_lora import export_lora
from expunge.exports.model_card import write_card
from expunge.settings.export import Export
from plumbing.lock import require_idle
from plumbing.whole_files import sha256_file

log = logging.getLogger(__name__)


def export_run(settings: Export) -> dict[str, Any]:
    """Write an export without printing; returns its place, size and hash.

    It is read again and compared bit for bit before it takes its place. Bad input is a UsageError,
    and then nothing is written.
    """
    if settings.push_to_hub:
        require_pushable(settings.push_to_hub)
    require_idle(settings.target, "RUN")
    if settings.format == "single-file":
        return export_single_file(
            settings.target,
            settings.place,
            ema=settings.ema,
            strength=settings.strength,
            dtype=DTYPES[settings.dtype] if settings.dtype else None,
            overwrite=settings.overwrite,
            moved=settings.base,
            config=settings.config,
        )
    result = export_lora(settings) if settings.format == "lora" else _export_weights(settings)
    if not result["written"]:
        log.info("%s: this very export is there", settings.place)
    if settings.push_to_hub:
        address = push_folder(settings.place, settings.push_to_hub, private=settings.private)
        result["pushed"] = address
    return result


def _export_weights(settings: Export) -> dict[str, Any]:
    """Write a UNet, a pipeline or a delta."""
    erased = open_run(settings.target, settings.base, settings.config)
    strength, place = settings.strength, settings.place
    dtype = DTYPES[settings.dtype] if settings.dtype else stored_dtype(erased)
    makers = {"unet": _unet_writer, "pipeline": _pipeline_writer, "delta": _delta_writer}
    write, size = makers[settings.format](erased, strength, dtype)
    written = put_in_place(place, write, overwrite=settings.overwrite, size=size)
    file = {"unet": place / WEIGHTS, "pipeline": place / erased.denoiser / WEIGHTS, "delta": place}
    weights = file[settings.format]
    return {
        "export": str(place),
        "format": settings.format,
        "concept": erased.concept,
        "strength": strength,
        "dtype": str(dtype)[6:],
        "written": written,
        "sha256": sha256_file(weights),
        "bytes": weights.stat().st_size,
        "unet_bytes": sum(spec.count for spec in erased.weights.specs.values()) * dtype.itemsize,
    }


Sized = tuple[Writer, int]
"""What writes an export, and about how many bytes it has."""


def _unet_writer(erased: ErasedRun, strength: float, dtype: torch.dtype) -> Sized:
    weights = blended_run(erased, strength, dtype)
    metadata = run_metadata(erased.weights, strength)

    def write(place: Path) -> None:
        write_denoiser_files(weights, erased.config, place, metadata)

    return write, model_bytes(None, weights)


def _delta_writer(erased: ErasedRun, strength: float, dtype: torch.dtype) -> Sized:
    record = erased.record
    size = record.kept * dtype.itemsize + record.total // 8
    return delta_writer(erased, strength, dtype), size


def _pipeline_writer(erased: ErasedRun, strength: float, dtype: torch.dtype) -> Sized:
    source = erased.locate_base()
    weights = blended_run(erased, strength, dtype)
    metadata = run_metadata(erased.weights, strength)

    def write(place: Path) -> None:
        write_pipeline(weights, erased.config, metadata, source, place)
        card = write_card(
            erased,
            strength=strength,
            dtype=str(dtype)[6:],
            as_measured=strength == 1 and dtype == stored_dtype(erased),
            weights_sha256=sha256_file(place / erased.denoiser / WEIGHTS),
        )
        (place / "README.md").write_text(card, encoding="utf-8")

    return write, model_bytes(source, weights)
