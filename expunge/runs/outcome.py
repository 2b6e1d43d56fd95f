"""What an erasure leaves, whichever method made it: a mask, weights, and what run.json says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erase.export.denoiser import write_denoiser
from erase.export.lora.run_lora import write_run_lora
from erase.models.bundle import Bundle
from erase.models.denoiser_files import denoiser_weights, read_config
from erase.models.erased_run import ErasedRun
from erase.models.part_weights import run_weights
from erase.run_folder.folder import find_denoiser
from erase.run_folder.record import RunRecord, Stopped
from erase.saliency.mask import SaliencyMask
from erase.tensors.low_rank import Factors
from erase.tensors.weight_files import Computed, Spec, Weights
from erase.training.step_log import StepRow
from expunge.runs.plan import Plan
from plumbing.privacy import public


@dataclass(frozen=True)
class Outcome:
    """The weights that a method leaves, not yet written."""

    mask: SaliencyMask
    """Which weights were allowed to change."""
    weight: Callable[[str, Tensor], Tensor]
    """Of a parameter's name and its base weights: the new ones, in float32."""
    factors: Mapping[str, Factors] = field(default_factory=dict)
    """What a method of low rank has trained, by the weight's name."""
    rows: list[StepRow] = field(default_factory=list)
    """A row a step; empty without training."""
    stopped: Stopped | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What run.json says of it beside the mask."""


def write_lora(outcome: Outcome, record: RunRecord, plan: Plan) -> None:
    """The LoRA of a method that trains one; nothing of any other, or of one that was taken back."""
    if not outcome.factors:
        return
    folder = find_denoiser(plan.out)
    assert folder is not None
    weights = Weights(run_weights(folder).files)
    run = ErasedRun(plan.out, record, weights, read_config(folder))
    write_run_lora(run, plan.source, outcome.factors)


def write_weights(outcome: Outcome, sd: Bundle, plan: Plan, title: str) -> None:
    """The base's own weights in float32, with the new ones in their places."""
    base = denoiser_weights(plan.source)
    write_denoiser(
        Computed(
            {name: Spec(torch.float32, spec.shape) for name, spec in base.specs.items()},
            lambda name: outcome.weight(name, base[name]),
        ),
        json.loads(sd.denoiser.to_json_string()),
        plan.out / sd.architecture.denoiser,
        _metadata(sd, plan, title),
    )


def _metadata(sd: Bundle, plan: Plan, title: str) -> dict[str, str]:
    kind = sd.architecture.modelspec
    told = kind(sd.denoiser.config, sd.schedule.prediction_type) if kind else None
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"{Path(plan.source.id).name} without {plan.concept.name}",
        **({"modelspec.architecture": told} if told else {}),
        "modelspec.implementation": "diffusers",
        "modelspec.description": f"{plan.concept.name} erased with {title} by expunge",
        "expunge.concept": plan.concept.name,
        "expunge.method": plan.method,
        "expunge.base": plan.source.digest,
        "expunge.config": json.dumps(public(plan.identity["config"]), sort_keys=True),
        "expunge.seed": str(plan.settings.seed),
    }
