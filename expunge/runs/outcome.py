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
from erase.models.bundle import Bundle
from erase.models.denoiser_files import denoiser_weights
from erase.run_folder.record import Stopped
from erase.saliency.mask import SaliencyMask
from erase.tensors.weight_files import Computed, Spec
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
    rows: list[StepRow] = field(default_factory=list)
    """A row a step; empty without training."""
    stopped: Stopped | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What run.json says of it beside the mask."""


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
