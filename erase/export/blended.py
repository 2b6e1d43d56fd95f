"""A run's weights on their way from the original to the erased model, in any type."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun
from erase.tensors.bits import blend
from erase.tensors.weight_files import Computed, Spec, Weights, one_dtype, require_alike
from plumbing.errors import UsageError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""torch's type of each `--dtype`."""


def stored_dtype(run: ErasedRun) -> torch.dtype:
    """The type in which a run has its weights; a mixture is a UsageError."""
    return one_dtype(run.weights.specs, run.folder)


def blended_run(run: ErasedRun, strength: float, dtype: torch.dtype) -> Computed:
    """A run's UNet at a strength; its base is looked for if that takes it."""
    base = denoiser_weights(run.locate_base()) if strength != 1 else None
    return blended(run.weights, base, strength, dtype)


def blended(
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


def run_metadata(erased: Weights, strength: float) -> Mapping[str, str]:
    """What the run's file tells of itself, and the strength if it is another."""
    if strength == 1:
        return erased.metadata
    title = erased.metadata.get("modelspec.title", "")
    return {
        **erased.metadata,
        "modelspec.title": f"{title} (strength {strength:g})".strip(),
        "expunge.strength": repr(strength),
    }
