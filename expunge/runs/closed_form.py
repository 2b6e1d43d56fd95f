"""A run by a method that computes its weights at once: no sets, no training, no mask given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

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
    """An edit that can begin."""

    method: ClosedForm
    sd: Bundle
    plan: Plan
    team: Team
    parameters: Mapping[str, nn.Parameter]


def prepare(method: ClosedForm, sd: Bundle, plan: Plan, team: Team) -> Prepared:
    """Refuse, as a UsageError and before anything is written, what cannot be edited."""
    parameters = sd.trainable(method.scope)
    require_disk(sd, parameters, plan, (), density=None)
    return Prepared(method, sd, plan, team, parameters)


def run(prepared: Prepared, ledger: Ledger) -> Outcome:
    """Compute the weights; the mask is of those that came out changed in any bit."""
    plan, base = prepared.plan, denoiser_weights(prepared.plan.source)
    edit = prepared.method.edit
    numbers = numbers_for(edit, plan.settings)
    edited = edit(prepared.sd, prepared.parameters, plan.concept, **numbers)
    strange = next((name for name, new in edited.items() if not new.isfinite().all()), None)
    if strange:
        raise UsageError(f"--method {plan.method}: {strange} is not finite; try other numbers")
    ledger.clock.lap("edit")
    bits = {
        name: changed_places(edited.get(name, base[name].float()).cpu(), base[name].float())
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
    return Outcome(mask, lambda name, base: edited[name].cpu() if name in edited else base.float())
