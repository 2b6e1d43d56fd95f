"""The delta of a run: what it made of its base, and nothing outside its mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from erase.export.blended import blended
from erase.export.delta import write_delta
from erase.export.place import Writer
from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun
from erase.saliency.mask import SaliencyMask
from erase.tensors.bits import changed_places, content_hash, same_bits
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.errors import UsageError


def delta_writer(run: ErasedRun, strength: float, dtype: torch.dtype) -> Writer:
    """What writes the run's delta; changes outside the mask, or a type too narrow: UsageError."""
    source = run.locate_base()
    original = denoiser_weights(source)
    before = _exact(original, dtype)
    after = blended(run.weights, original, strength, dtype)
    mask = SaliencyMask.load(run.folder / "mask.safetensors")
    _require_selected(before, after, mask, run.folder)
    metadata = {
        "expunge.concept": run.concept,
        "expunge.method": str(run.record.method),
        "expunge.density": mask.metadata.get("density", "1.0"),
        "expunge.selected": str(mask.kept),
        "expunge.strength": repr(strength),
        "expunge.dtype": str(dtype)[6:],
        "expunge.base": source.digest,
        **_types_told(original.specs),
        "expunge.base_unet": content_hash(before),
        "expunge.erased_unet": content_hash(after),
    }

    def write(place: Path) -> None:
        write_delta(before, after, place, metadata)

    return write


def _types_told(specs: Mapping[str, Spec]) -> dict[str, str]:
    """In which type the base has its weights: most of them, and each that is of another."""
    kinds = {name: str(spec.dtype)[6:] for name, spec in specs.items()}
    ((usual, _),) = Counter(kinds.values()).most_common(1)
    others = {f"base_dtype:{name}": kind for name, kind in kinds.items() if kind != usual}
    return {"expunge.base_dtype": usual, **others}


def _exact(base: Weights | Computed, dtype: torch.dtype) -> Computed:
    """The base's weights in `dtype`, each a UsageError unless it can be had back from there."""

    def compute(name: str) -> Tensor:
        weight = base[name]
        result = weight.to(dtype)
        if not same_bits(result.to(weight.dtype), weight):
            narrow = dtype.itemsize < 4
            remedy = "choose --dtype fp32" if narrow else "use --format unet or pipeline"
            raise UsageError(
                f"--format delta: the base's {name} is {str(weight.dtype)[6:]} and would not come "
                f"back from {str(dtype)[6:]}; {remedy}"
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
