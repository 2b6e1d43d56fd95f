"""Erase concepts from a model into a run folder."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from erase.diffusion.cpu_kernels import require_compiler
from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.train_method import trainable_parameters
from erase.image_sets.datasets import ForgetSet
from erase.models.checkpoint import load_checkpoint
from erase.models.recommended import read_recommended
from erase.models.stable_diffusion import StableDiffusion
from erase.run_folder.folder import inspect_folder, prepare_folder, read_run, write_run
from erase.saliency.mask import SaliencyMask
from erase.training.memory import TrainingPlan
from erase.training.step_log import StepRow
from expunge.runs.concept_probe import drawn_before, gone
from expunge.runs.job import Job
from expunge.runs.mask import build_mask, left_mask
from expunge.runs.plan import Plan, find_model, make_plan
from expunge.runs.provenance import Timings
from expunge.runs.record import begin, finish, hash_outputs, planned, told, watched
from expunge.runs.room import plan_run, require_disk, require_memory
from expunge.runs.sets import build_forget_set, build_retain_set, held_prompts
from expunge.runs.train import STATE, train
from expunge.runs.trained_weights import write_weights
from expunge.settings.erase import Erase
from expunge.settings.groups import SalUnConfig
from plumbing.lock import locked
from plumbing.processes import Team, current_team
from plumbing.whole_files import replace_file

log = logging.getLogger(__name__)


def erase_concepts(config: Erase) -> dict[str, Any]:
    """Erase concepts into a run folder; returns the content of its run.json and the folder (`out`).

    A folder that holds this very run, finished, is left alone; unfinished, its cached sets and mask
    are used again. Bad input is a UsageError, raised before anything is written.
    """
    source = find_model(config.model)
    settled = config.resolve(read_recommended(source).lr)
    if settled.model.model == "miniature":
        log.info("no --model given: using the shipped miniature")
    plan = make_plan("erase", settled, settled.salun, source)
    team = current_team()
    with locked(plan.out) if team.leads else nullcontext():
        return _erase(config, settled, plan, team)


def _erase(config: Erase, settled: Erase, plan: Plan, team: Team) -> dict[str, Any]:
    """Do the run in its folder, which is this process's alone, or its team's."""
    settings = settled.salun
    state = inspect_folder(plan.out, plan.identity, overwrite=settled.overwrite)
    if state == "finished":
        log.info("%s: this very run is there, finished; --overwrite does it again", plan.out)
        return told(plan.out, read_run(plan.out))
    before = read_run(plan.out) if state == "unfinished" else None
    clock = Timings()
    sd = load_checkpoint(plan.source, device=settled.model.device, dtype="float32")
    NoiseSchedule.of(sd.scheduler)
    given = settings.mask and SaliencyMask.load(settings.mask)
    method = given.metadata.get("train_method", "full") if given else settings.train_method
    parameters = trainable_parameters(sd.unet, method or "full")
    if given and settings.mask:
        given.require(settings.mask, plan.source.digest, parameters)
    require_memory(sd, parameters, given, plan, settings, team)
    if settings.compile:
        require_compiler(sd.unet.device)
    record = begin(plan.identity, "salun", asdict(config.salun), before)
    require_disk(sd, parameters, plan, settings)
    # Every process has seen what was there before the leader changes it.
    team.wait()
    with team.leader_first():
        if team.leads:
            prepare_folder(plan.out, fresh=state == "new")
            write_run(plan.out, record)
    clock.lap("load")

    if team.leads and record.drawn is None:
        record = replace(record, drawn=drawn_before(sd, plan))
        write_run(plan.out, record)
    relabel = settings.relabel or "random"
    forget = build_forget_set(sd, plan, relabel, settings.seed, team)
    retain = build_retain_set(sd, plan, settings.seed, team)
    clock.lap("sets")
    mask = given or _make_mask(sd, parameters, forget, plan, settings, team)
    if team.leads:
        mask.save(plan.out / "mask.safetensors")
    team.wait()
    clock.lap("mask")
    job = Job(
        sd,
        parameters,
        mask,
        forget,
        retain,
        plan,
        settings,
        team,
        guard=None if settings.no_guard else held_prompts(sd, plan, retain),
        gone=gone(sd, plan) if settings.until_erased else None,
    )
    if not job.gone:
        sd.release_encoders()
    # What an unfinished run took is taken again: other passes would round otherwise.
    size = record.training and record.training.micro_batch
    how = plan_run(job, size or settings.micro_batch)
    log.info("training: %s", how.describe())

    def tell(how: TrainingPlan) -> None:
        nonlocal record
        record = planned(record, how, team.count)
        if team.leads:
            write_run(plan.out, record)

    tell(how)
    trained = train(job, how, tell)
    clock.lap("train")
    if not team.leads:
        team.wait()
        return {"out": str(plan.out)}
    _write_log(plan.out / "train_log.jsonl", trained.rows)
    write_weights(job, trained)
    clock.lap("export")

    record = finish(
        record,
        mask,
        clock.seconds,
        guard=None if settings.no_guard else watched(trained.drift),
        stopped=trained.stopped,
        sets={"forget": len(forget), "retain": len(retain)},
        weights=hash_outputs(plan.out),
    )
    write_run(plan.out, record)
    (plan.out / STATE).unlink(missing_ok=True)
    team.wait()
    if trained.stopped:
        log.warning(trained.stopped.describe())
    return told(plan.out, record)


def _make_mask(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    forget: ForgetSet,
    plan: Plan,
    settings: SalUnConfig,
    team: Team,
) -> SaliencyMask:
    """The mask that an unfinished run left, or a new one."""
    # The folder's run.json has this run's identity, which decides the mask.
    left = left_mask(plan.out / "mask.safetensors")
    return left or build_mask(sd, parameters, forget, plan, settings, settings.mask_kind, team)


def _write_log(path: Path, rows: list[StepRow]) -> None:
    lines = []
    for row in rows:
        # JSON has no word for what a training that diverged ends with.
        finite = {n: v if math.isfinite(v) else None for n, v in asdict(row).items()}
        lines.append(json.dumps(finite) + "\n")
    replace_file(path, "".join(lines).encode())
