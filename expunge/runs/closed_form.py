"""A run by a method that computes its weights at once: no sets, no training, no mask given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from erase.methods.method import ClosedForm, numbers_for
from erase.models.bundle import Bundle
from erase.models.denoiser_files import denoiser_weights
from erase.saliency.mask import freeze_mask
from erase.tensors.bits import changed_places
from expunge.runs.outcome import Outcome
from expunge.runs.plan import Plan
from expunge.runs.record import Ledger
from expunge.runs.room import require_disk
from plumbing.errors import UsageError
from plumbing.processes import Team


@dataclass(frozen=True)
class Prepared:
    """Weights that were computed, and nothing written yet."""

    method: ClosedForm
    plan: Plan
    team: Team
    parameters: Mapping[str, nn.Parameter]
    edited: Mapping[str, Tensor]
    """float32, on the CPU, by name."""


def prepare(method: ClosedForm, sd: Bundle, plan: Plan, team: Team, ledger: Ledger) -> Prepared:
    """Compute the weights; a UsageError, before anything is written, if they are of no use."""
    parameters = sd.trainable(method.scope)
    require_disk(sd, parameters, plan, (), trained=None)
    ledger.lap("load")
    numbers = numbers_for(method.edit, plan.settings)
    edited = {
        name: weights.detach().float().cpu()
        for name, weights in method.edit(sd, parameters, plan.concept, **numbers).items()
    }
    ledger.lap("edit")
    base = denoiser_weights(plan.source)
    for name, weights in edited.items():
        if name not in parameters or weights.shape != parameters[name].shape:
            raise UsageError(
                f"--method {plan.method}: computed {name} of the shape {tuple(weights.shape)}, "
                f"which is no parameter of its scope {method.scope}; mend the method"
            )
        if not weights.isfinite().all():
            raise UsageError(f"--method {plan.method}: {name} is not finite; try other numbers")
    if all(torch.equal(weights, base[name].float()) for name, weights in edited.items()):
        raise UsageError(
            f"--method {plan.method}: with these numbers no weight changes by as much as float32 "
            "tells apart, so nothing would be erased; weigh erasing more"
        )
    return Prepared(method, plan, team, parameters, edited)


def run(prepared: Prepared, _: Ledger) -> Outcome:
    """The weights, and the mask of those that came out changed in any bit."""
    plan, edited = prepared.plan, prepared.edited
    base = denoiser_weights(plan.source)
    bits = {
        name: changed_places(edited.get(name, base[name].float()), base[name].float())
        for name in prepared.parameters
    }
    told = {
        "kind": "changed",
        "concept": plan.concept.name,
        "seed": str(plan.settings.seed),
        "base": plan.source.digest,
        "train_method": prepared.method.scope,
    }
    mask = freeze_mask(bits, told)
    if prepared.team.leads:
        mask.save(plan.out / "mask.safetensors")
    return Outcome(mask, lambda name, base: edited[name] if name in edited else base.float())
