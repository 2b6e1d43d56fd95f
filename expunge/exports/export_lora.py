"""`expunge export --format lora`: the low-rank file, how near it comes, and whether it erases."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase.export.blended import DTYPES
from erase.export.lora.make import Change, Lora, make_lora, write_lora
from erase.export.lora.metadata import describe_lora
from erase.export.place import put_in_place
from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun, open_run
from erase.tensors.bits import content_hash
from expunge.settings.export import DEFAULT_RANK, Export
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file

log = logging.getLogger(__name__)
SLACK = 2.0
"""Points of `ua` that a LoRA may stay behind the erased model without a warning."""
_SHOWN = 3
"""Names of parameters left out in the table."""


def export_lora(settings: Export) -> dict[str, Any]:
    """Write a run's LoRA; returns its place and size, its residual, what it leaves out, its check.

    It is read again, compared bit for bit and checked before it takes its place. Bad input is a
    UsageError, and then nothing is written.
    """
    place = settings.place
    if place.suffix != ".safetensors":
        raise UsageError(f"--to {place}: a LoRA is written as .safetensors; name it so")
    run = open_run(settings.target, settings.base, settings.config)
    source = run.locate_base()
    base = denoiser_weights(source)
    dtype = DTYPES[settings.dtype or "fp16"]
    lora = _factorise(settings, Change(base, run.weights, settings.strength))
    told = {
        "base_unet": content_hash(base),
        "strength": repr(settings.strength),
        **{key: str(value) for key, value in _size(settings).items()},
    }
    metadata = describe_lora(lora, run, source, told)
    checks: list[dict[str, Any] | None] = []

    def write(place: Path) -> None:
        write_lora(lora, run.config, place, metadata)
        checks.append(_check(run, place, settings))

    sizes = (f.up.nbytes + f.down.nbytes for f in lora.factors.values())
    written = put_in_place(place, write, overwrite=settings.overwrite, size=sum(sizes))
    whole = sum(spec.count for spec in run.weights.specs.values()) * dtype.itemsize
    return {
        "export": str(place),
        "format": "lora",
        "naming": settings.naming,
        "concept": run.concept,
        "strength": settings.strength,
        "dtype": str(dtype)[6:],
        **_size(settings),
        **_summary(lora),
        "check": checks[0],
        "written": written,
        "sha256": sha256_file(place),
        "bytes": place.stat().st_size,
        "unet_bytes": whole,
    }


def _size(settings: Export) -> dict[str, Any]:
    """The rank or the energy that was asked for."""
    if settings.energy is not None:
        return {"energy": settings.energy}
    return {"rank": settings.rank or DEFAULT_RANK}


def _factorise(settings: Export, change: Change) -> Lora:
    with tqdm(total=len(change.layers), unit="layer", desc="lora") as bar:
        return make_lora(
            change,
            rank=_size(settings).get("rank"),
            energy=settings.energy,
            naming=settings.naming,
            dtype=DTYPES[settings.dtype or "fp16"],
            progress=bar.update,
        )


def _summary(lora: Lora) -> dict[str, Any]:
    left = lora.left_out
    return {
        "layers": len(lora.factors),
        "largest_rank": lora.alpha,
        "residual": lora.residual,
        "worst": {"name": lora.worst[0], "residual": lora.worst[1]},
        "left_out": {
            "names": list(left.names),
            "weights": left.weights,
            "energy": left.energy,
        },
    }


def _check(run: ErasedRun, file: Path, settings: Export) -> dict[str, Any] | None:
    """What the check found; None if there was none."""
    miniature = run.record.base.id == "miniature"
    if settings.check == "no" or (settings.check == "auto" and not miniature):
        return None
    # It draws images, with diffusers, which takes seconds to import; nothing else here does.
    from expunge.exports.lora_check import check_lora

    try:
        found = check_lora(run, file, settings.check_protocol)
    except UsageError as error:
        if settings.check == "yes":
            raise
        log.warning("the LoRA was not checked: %s", error)
        return None
    warn_of_lag(found)
    return found


def warn_of_lag(check: Mapping[str, Any]) -> None:
    """Warn if the LoRA of a check erases less than its run, by more than `SLACK` points of ua."""
    behind = check["erased"]["ua"]["value"] - check["lora"]["ua"]["value"]
    if behind > SLACK:
        log.warning(
            "warning: the LoRA erases less than the run: ua is %.1f points lower; raise --rank, "
            "or use --format pipeline, single-file or delta",
            behind,
        )


def lora_rows(result: Mapping[str, Any]) -> dict[str, str]:
    """The table's rows that only a LoRA has."""
    worst, left = result["worst"], result["left_out"]
    rows = {
        "layers": f"{result['layers']}, of rank {result['largest_rank']} at most; named as "
        f"{result['naming']} does",
        "residual": f"{100 * result['residual']:.2f} % of the change is missed; at worst "
        f"{100 * worst['residual']:.2f} %, in {worst['name']}",
    }
    if left["names"]:
        more = len(left["names"]) - _SHOWN
        names = ", ".join(left["names"][:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        rows["left out"] = (
            f"{left['weights']:,} weights of biases and norms, {100 * left['energy']:.2g} % of the "
            f"change's energy: {names}"
        )
    check = result["check"]
    if check:
        sides = (f"{check[side]['ua']['value']:.1f} ({side})" for side in ("original", "erased"))
        rows["ua"] = (
            f"{check['lora']['ua']['value']:.1f} with the LoRA, "
            f"{', '.join(sides)}; {check['protocol']} protocol"
        )
    return rows
