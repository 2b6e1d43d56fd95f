"""What an erasure will cost on this machine: `erase --dry-run`, before anything is written."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn

from erase.diffusion.latents import encode_images
from erase.image_sets.drawing import Drawing
from erase.methods.method import ClosedForm
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.prediction import drawing_arithmetic, predict, training_arithmetic
from erase.run_folder.folder import inspect_folder
from erase.training.drift import PROMPTS
from erase.training.watch import EVERY
from expunge.runs import closed_form, trained
from expunge.runs.concept_probe import probed
from expunge.runs.lesson import drop_unread
from expunge.runs.plan import Plan, make_plan
from expunge.runs.record import Ledger, begin
from expunge.runs.roles import images_of, load_method
from expunge.runs.room import disk_needs
from expunge.settings.erase import Erase
from plumbing.errors import UsageError
from plumbing.passes import BACKWARD
from plumbing.processes import current_team

log = logging.getLogger(__name__)
Prepared = trained.Prepared | closed_form.Prepared
LONG_ENOUGH = 1.0
"""Seconds that a pass is timed for, the first of all left out."""


def estimate(command: Erase) -> dict[str, Any]:
    """The bill of an erasure that is not begun: `passes` and `seconds` by stage, memory, disk.

    Nothing is written. Of a method that trains, the passes follow from the settings and the time
    from passes that are timed here; a closed form is computed, and its own time told. What would be
    refused is a UsageError; what the folder has of this very run already is not taken off.
    """
    plan, team = make_plan("erase", command), current_team()
    if team.count > 1:
        raise UsageError("--dry-run: is for one process; start it without `accelerate launch`")
    state = inspect_folder(plan.out, plan.identity, overwrite=command.overwrite)
    if state != "new":
        log.info("%s: this very run is there, %s; that is not taken off", plan.out, state)
    ledger = Ledger(plan.out, begin(plan.identity))
    method = load_method(plan.method)
    sd = load_checkpoint(plan.source, device=command.model.device, dtype="float32")
    ledger.watch(sd)
    plan = drop_unread(sd, plan)
    if isinstance(method, ClosedForm):
        prepared = closed_form.prepare(method, sd, plan, team, ledger)
        passes = {"probe": probe_passes(sd, plan)}
    else:
        prepared = trained.prepare(method, sd, plan, team, ledger)
        passes = stage_passes(sd, plan, prepared)
        ledger.lap("load")
    images = stage_images(sd, plan)
    work = {stage: {**parts, **images[stage]} for stage, parts in passes.items()}
    seconds = {**ledger.record.seconds, **_seconds(sd, plan, prepared, work)}
    totals = {stage: spent.denoiser for stage, spent in ledger.record.passes.items()}
    totals |= {stage: sum(parts.values()) for stage, parts in passes.items()}
    return _told(plan, sd, totals, seconds, prepared)


def probe_passes(sd: Bundle, plan: Plan) -> dict[str, int]:
    """Those of the look whether the model draws the concept at all.

    It guides every step, as evaluations do.
    """
    how = replace(plan.drawing, guided_share=1.0)
    return {"drawn": probed(sd, plan) * image_passes(sd, how)}


def stage_passes(sd: Bundle, plan: Plan, prepared: trained.Prepared) -> dict[str, dict[str, int]]:
    """Passes through the denoiser by stage: `drawn`, `forward` alone, and `trained`, with gradient.

    A training that ends early takes fewer, one with --until-erased more.
    """
    settings, image = plan.settings, image_passes(sd, plan.drawing)
    guided = 2 if settings.by_saliency and settings.saliency_guidance else 1
    salient = _counts(plan)["forget"] if settings.by_saliency else 0
    salient += _counts(plan)["retain"] if settings.by_contrast else 0
    cost, images = prepared.method.cost(settings), settings.steps * settings.batch_size
    with_gradient = 1 + BACKWARD + prepared.how.checkpointing
    looks = 0 if settings.no_guard else 2 + math.ceil(settings.steps / EVERY)
    return {
        "probe": probe_passes(sd, plan),
        "sets": {"drawn": _drawn(plan) * image},
        "mask": {"trained": salient * guided * (1 + BACKWARD)},
        "train": {
            "forward": images * cost.taught + cost.sampled + looks * PROMPTS,
            "trained": round(images * cost.trained + settings.steps * cost.beside) * with_gradient,
        },
    }


def stage_images(sd: Bundle, plan: Plan) -> dict[str, dict[str, int]]:
    """Images that the autoencoder makes of latents by stage, `decoded`, and latents of images."""
    sets = {"decoded": _drawn(plan), "encoded": sum(_counts(plan).values())}
    return {"probe": {"decoded": probed(sd, plan)}, "sets": sets, "mask": {}, "train": {}}


def image_passes(sd: Bundle, how: Drawing) -> int:
    """Passes that one image takes, which the sampler and the guidance decide."""
    sampler = sd.pipeline(how.sampler).scheduler
    sampler.set_timesteps(how.steps)
    calls = len(sampler.timesteps)
    return calls + how.guided(calls)


def _counts(plan: Plan) -> dict[str, int]:
    return {role: images_of(role, plan.data, plan.captions) for role in plan.roles}


def _drawn(plan: Plan) -> int:
    """Images of the sets that are drawn, not given."""
    return sum(count for role, count in _counts(plan).items() if role not in plan.captions)


def _seconds(
    sd: Bundle,
    plan: Plan,
    prepared: Prepared,
    work: Mapping[str, Mapping[str, int]],
) -> dict[str, float]:
    """By stage, from a pass of each sort, and an image of either, timed on this machine."""
    own, (width, height) = sd.denoiser.device, sd.native_size
    steps, times, told = sd.architecture.example(sd.denoiser.config)

    def inputs(rows: int) -> tuple[Any, ...]:
        repeated = told[torch.zeros(rows, dtype=torch.long)].to(own)
        return steps.repeat(rows, 1, 1, 1).to(own), times.repeat(rows).to(own), repeated

    def draw(rows: int) -> None:
        with torch.no_grad(), drawing_arithmetic([sd.denoiser], own, plan.dtype):
            predict(sd.denoiser, *inputs(rows))

    def learn(rows: int) -> None:
        with training_arithmetic(sd.denoiser, plan.dtype):
            predict(sd.denoiser, *inputs(rows)).square().mean().backward()

    @torch.no_grad()
    def decode(rows: int) -> None:
        with drawing_arithmetic([sd.vae], own, plan.dtype):
            sd.vae.decode(inputs(rows)[0], return_dict=False)

    def encode(rows: int) -> None:
        encode_images(sd.vae, torch.zeros(rows, 3, height, width, device=own))

    each = {"drawn": _timed(draw, 2 * plan.drawing.batch_size)}
    each |= {"forward": each["drawn"], "decoded": _timed(decode, 1), "encoded": _timed(encode, 1)}
    if isinstance(prepared, trained.Prepared):
        how, rows = prepared.how, prepared.method.cost(plan.settings).trained
        prepare_to_learn(sd.denoiser, prepared)
        spent = _timed(learn, math.ceil(rows * how.micro_batch))
        each["trained"] = spent / (1 + BACKWARD + how.checkpointing)
    return {
        stage: round(sum(each[sort] * count for sort, count in parts.items()), 1)
        for stage, parts in work.items()
    }


def prepare_to_learn(denoiser: Any, prepared: trained.Prepared) -> None:
    """Put a denoiser in the shape in which it would be trained, and take no more memory.

    Gradients are made of what is trained alone, and none is kept.
    """

    def drop(parameter: Tensor) -> None:
        parameter.grad = None

    # Not diffusers' own `to`: see `room.plan_run`.
    nn.Module.to(denoiser.requires_grad_(False), getattr(torch, prepared.how.weights))
    for parameter in prepared.parameters.values():
        parameter.requires_grad_(True).register_post_accumulate_grad_hook(drop)
    if prepared.how.checkpointing:
        denoiser.enable_gradient_checkpointing()


def _timed(work: Callable[[int], None], rows: int) -> float:
    """Seconds of a row, of so many at once, the mean of the calls that fit into `LONG_ENOUGH`."""
    while not _fits(work, rows):
        rows //= 2
        clear_device_cache(garbage_collection=True)
    _synchronise()
    began, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - began < LONG_ENOUGH:
        work(rows)
        _synchronise()
        calls += 1
    return (time.perf_counter() - began) / (calls * rows)


def _fits(work: Callable[[int], None], rows: int) -> bool:
    """Whether memory is enough: drawing and training take fewer at once where it is not."""
    try:
        work(rows)
    except RuntimeError as error:
        if rows == 1 or not should_reduce_batch_size(error):
            raise
        return False
    return True


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _told(
    plan: Plan,
    sd: Bundle,
    passes: Mapping[str, int],
    seconds: Mapping[str, float],
    prepared: Prepared,
) -> dict[str, Any]:
    trains = prepared if isinstance(prepared, trained.Prepared) else None
    selected = trains.selected if trains else None
    needs = disk_needs(sd, prepared.parameters, plan, plan.roles, trained=selected)
    return {
        "out": str(plan.out),
        "concept": plan.concept.name,
        "base": plan.source.id,
        "device": str(sd.denoiser.device),
        "passes": dict(passes),
        "seconds": dict(seconds),
        "memory_gb": dict(trains.how.gigabytes) if trains else {},
        "disk_bytes": {name: round(size) for need in needs for name, size in need.parts.items()},
    }
