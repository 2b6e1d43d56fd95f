"""`expunge export --format lora`: the low-rank file, how near it comes, and whether it erases."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase.export.blended import DTYPES
from erase.export.lora.make import Change, Lora, factorised, make_lora, write_lora
from erase.export.lora.metadata import describe_lora
from erase.export.lora.run_lora import trained_factors
from erase.export.place import put_in_place
from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun, open_run
from erase.tensors.bits import content_hash
from erase.tensors.low_rank import Factors
from erase.tensors.weight_files import Computed, Weights
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
    exact, size = _exact(settings, run, base)
    change = Change(base, run.weights, settings.strength)
    lora = make_lora(change, exact, naming=settings.naming, dtype=dtype)
    told = {
        "base_unet": content_hash(base),
        "strength": repr(settings.strength),
        **{key: str(value) for key, value in size.items()},
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
        **size,
        **_summary(lora),
        "check": checks[0],
        "written": written,
        "sha256": sha256_file(place),
        "bytes": place.stat().st_size,
        "unet_bytes": whole,
    }


def _exact(
    settings: Export, run: ErasedRun, base: Weights | Computed
) -> tuple[dict[str, Factors], dict[str, Any]]:
    """Factors of the run's change, those that it trained if it did; and how many terms they have.

    The rank or the energy that was asked for tells how many are to be kept of what is factorised.
    """
    trained = trained_factors(run, base)
    if trained is None:
        size = {"energy": settings.energy} if settings.energy is not None else {}
        size = size or {"rank": settings.rank or DEFAULT_RANK}
        return _factorised(settings, Change(base, run.weights, settings.strength), size), size
    rank = max(factors.rank for factors in trained.values())
    for flag, value in (("--rank", settings.rank), ("--energy", settings.energy)):
        if value is not None:
            raise UsageError(
                f"{flag} {value}: this run has trained its LoRA, of rank {rank}; leave it out"
            )
    strength = settings.strength
    exact = {n: f if strength == 1 else f.scaled(strength, f.up.dtype) for n, f in trained.items()}
    return {n: factors for n, factors in exact.items() if factors.product().any()}, {"rank": rank}


def _factorised(settings: Export, change: Change, size: Mapping[str, Any]) -> dict[str, Factors]:
    with tqdm(total=len(change.layers), unit="layer", desc="lora") as bar:
        return factorised(
            change, rank=size.get("rank"), energy=settings.energy, progress=bar.update
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
