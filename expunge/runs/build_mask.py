"""Build a mask alone."""

from __future__ import annotations

import logging
from typing import Any

from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.train_method import trainable_parameters
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import inspect_folder, prepare_folder, read_run, write_run
from erase.saliency.mask_chart import draw_mask, summarise
from expunge.runs.mask import build_mask
from expunge.runs.plan import Plan, find_model, make_plan
from expunge.runs.provenance import Timings
from expunge.runs.record import begin, finish, mask_parts, told
from expunge.runs.room import require_disk
from expunge.runs.sets import build_forget_set
from expunge.settings.erase import Mask
from plumbing.lock import locked
from plumbing.processes import ALONE

log = logging.getLogger(__name__)


def build(config: Mask) -> dict[str, Any]:
    """Build a mask into a folder; returns the content of its run.json and the folder (`out`).

    Bad input is a UsageError, raised before anything is written.
    """
    settled = config.resolve()
    plan = make_plan("mask", settled, settled.saliency, find_model(settled.model))
    with locked(plan.out):
        return _build(settled, plan)


def _build(settled: Mask, plan: Plan) -> dict[str, Any]:
    """Do it in the folder, which is this process's alone."""
    settings = settled.saliency
    state = inspect_folder(plan.out, plan.identity, overwrite=settled.overwrite)
    if state == "finished":
        log.info("%s: this very mask is there; --overwrite builds it again", plan.out)
        return told(plan.out, read_run(plan.out))
    clock = Timings()
    sd = load_checkpoint(plan.source, device=settled.model.device, dtype="float32")
    NoiseSchedule.of(sd.scheduler)
    parameters = trainable_parameters(sd.unet, settings.train_method or "full")
    require_disk(sd, parameters, plan, settings)
    prepare_folder(plan.out, fresh=state == "new")
    record = begin(plan.identity)
    write_run(plan.out, record)
    clock.lap("load")
    forget = build_forget_set(sd, plan, "random", settings.seed)
    clock.lap("sets")
    mask = build_mask(sd, parameters, forget, plan, settings, "saliency", ALONE)
    mask.save(plan.out / "mask.safetensors")
    draw_mask(mask, plan.out / "mask.png")
    clock.lap("mask")
    blocks, kinds = map(mask_parts, summarise(mask))
    record = finish(record, mask, clock.seconds, blocks=blocks, kinds=kinds)
    write_run(plan.out, record)
    return told(plan.out, record)
