"""The LoRA that a run has trained, in the run's own folder: nothing is factorised for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from erase.export.lora.make import Change, make_lora, write_lora
from erase.export.lora.metadata import describe_lora
from erase.export.lora.read import bind_lora, read_lora
from erase.models.denoiser_files import denoiser_weights
from erase.models.erased_run import ErasedRun
from erase.models.model_source import ModelSource
from erase.tensors.bits import content_hash
from erase.tensors.low_rank import Factors
from erase.tensors.weight_files import Computed, Weights
from plumbing.whole_files import whole

FILE = "lora.safetensors"


def write_run_lora(run: ErasedRun, source: ModelSource, factors: Mapping[str, Factors]) -> Path:
    """Write what a run has trained, by diffusers' names in float32; `source` is its base.

    The base and the file's own products are the run's weights, to the bit.
    """
    base = denoiser_weights(source)
    change = Change(base, run.weights, 1.0)
    lora = make_lora(change, factors, naming="diffusers", dtype=torch.float32)
    told = {"base_unet": content_hash(base), "strength": "1.0", "rank": str(lora.alpha)}
    with whole(run.folder / FILE) as partial:
        write_lora(lora, run.config, partial, describe_lora(lora, run, source, told))
    return run.folder / FILE


def trained_factors(run: ErasedRun, base: Weights | Computed) -> dict[str, Factors] | None:
    """What a run has trained, by the weight's name; None of a run that trained the weights."""
    path = run.folder / FILE
    if not path.is_file():
        return None
    lora = bind_lora(path, read_lora(path), base.specs, run.config)
    return {name: lora.factors(name) for name in lora.prefixes}
