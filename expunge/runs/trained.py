"""A run by a method that trains: its sets, its mask, its training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from erase.diffusion.cpu_kernels import require_compiler
from erase.methods.method import Trained
from erase.models.bundle import Bundle
from erase.saliency.mask import SaliencyMask
from erase.training.memory import TrainingPlan
from expunge.runs.concept_probe import gone
from expunge.runs.job import Job
from expunge.runs.lesson import require_relabel
from expunge.runs.mask import build_mask, left_mask
from expunge.runs.outcome import Outcome
from expunge.runs.plan import Plan
from expunge.runs.record import Ledger, planned, watched
from expunge.runs.room import plan_run, require_disk, require_memory
from expunge.runs.sets import build_sets, held_prompts
from expunge.runs.train import train
from plumbing.errors import UsageError
from plumbing.processes import Team

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A training that can begin: everything that can be refused was looked at."""

    method: Trained
    sd: Bundle
    plan: Plan
    team: Team
    parameters: Mapping[str, nn.Parameter]
    given: SaliencyMask | None
    """The user's mask."""
    learned: Mapping[str, Tensor]
    """The parameters, or of a low rank their factors, without content."""
    selected: int
    """How many weights of them are to be trained."""
    how: TrainingPlan
    """How it would be trained in the memory that is free before the sets are drawn."""


def prepare(method: Trained, sd: Bundle, plan: Plan, team: Team, _: Ledger) -> Prepared:
    """Refuse, as a UsageError and before anything is written, what cannot be trained."""
    settings = plan.settings
    flag = "--anchor" if "anchor" in plan.roles else "--relabel"
    require_relabel(sd, plan, method.relabel(settings) or "random", flag)
    if settings.batch_size < team.count:
        raise UsageError(
            f"--batch-size {settings.batch_size}: fewer images than the {team.count} processes "
            "that share them out; start fewer processes"
        )
    given = SaliencyMask.load(settings.mask) if settings.mask else None
    scope = given.metadata.get("train_method", "full") if given else settings.train_method
    parameters, low_rank = sd.trainable(scope), method.low_rank(settings)
    if low_rank:
        parameters = low_rank.layers(sd.denoiser, parameters)
    if given:
        given.require(settings.mask, plan.source.digest, parameters)
    learned = low_rank.empty(parameters) if low_rank else parameters
    total = sum(tensor.numel() for tensor in learned.values())
    selected = given.kept if given else round(settings.density * total)
    how = require_memory(sd, learned, selected, plan, method.cost(settings), team)
    if settings.compile:
        require_compiler(sd.denoiser.device)
    require_disk(sd, parameters, plan, plan.roles, trained=selected)
    return Prepared(method, sd, plan, team, parameters, given, learned, selected, how)


def run(prepared: Prepared, ledger: Ledger) -> Outcome:
    """Draw the sets, choose the weights, train them; resumes from what is there."""
    plan, team = prepared.plan, prepared.team
    job = _job(prepared, ledger)
    # What an unfinished run took is taken again: other passes would round otherwise.
    size = ledger.record.training and ledger.record.training.micro_batch
    size = size or plan.settings.micro_batch
    how = plan_run(job, prepared.learned, prepared.selected, size)
    log.info("training: %s", how.describe())

    def note(how: TrainingPlan) -> None:
        ledger.note(training=planned(how, team.count))

    def booked() -> None:
        # What a kill comes after is spent all the same.
        ledger.lap("train")

    note(how)
    trained = train(job, how, note, booked)
    booked()
    low_rank, guarded = prepared.method.low_rank(plan.settings), not plan.settings.no_guard
    optimizer = trained.optimizer
    factors = low_rank.factors(optimizer) if low_rank and optimizer else {}

    def weight(name: str, base: Tensor) -> Tensor:
        if name in factors:
            return factors[name].added(base)
        return optimizer.merged(name, base) if optimizer else base.float()

    return Outcome(
        mask=job.mask,
        weight=weight,
        factors=factors,
        rows=trained.rows,
        stopped=trained.stopped,
        facts={
            "guard": watched(trained.drift) if guarded else None,
            "sets": {role: len(job.sets[role]) for role in plan.roles},
        },
    )


def _job(prepared: Prepared, ledger: Ledger) -> Job:
    """The sets, drawn or read, and the mask, built or given."""
    plan, team, sd, settings = prepared.plan, prepared.team, prepared.sd, prepared.plan.settings
    sets = build_sets(sd, plan, prepared.method, team)
    ledger.lap("sets")
    # The folder's run.json has this run's identity, which decides the mask that was left there.
    mask = prepared.given or left_mask(plan.out / "mask.safetensors")
    if mask is None:
        # Where all weights are selected, it does not matter in which order.
        kind = "none" if settings.density == 1 else settings.mask_kind
        mask = build_mask(sd, prepared.parameters, sets, plan, settings, kind, team)
    if team.leads:
        mask.save(plan.out / "mask.safetensors")
    team.wait()
    ledger.lap("mask")
    job = Job(
        prepared.method,
        sd,
        prepared.parameters,
        mask,
        sets,
        plan,
        team,
        guard=None if settings.no_guard else held_prompts(sd, plan, sets["retain"]),
        gone=gone(sd, plan) if settings.until_erased else None,
    )
    if not job.gone:
        sd.release_encoders()
    return job
