"""Build a mask alone."""

from __future__ import annotations

import logging
from typing import Any

from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.train_method import trainable_parameters
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import inspect_folder, prepare_folder, read_run
from erase.saliency.mask_chart import draw_mask, summarise
from expunge.runs.ledger import Ledger
from expunge.runs.mask import build_mask
from expunge.runs.plan import Plan, make_plan
from expunge.runs.record import begin, mask_parts, told
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
    plan = make_plan("mask", config)
    with locked(plan.out):
        return _build(config, plan)


def _build(config: Mask, plan: Plan) -> dict[str, Any]:
    """Do it in the folder, which is this process's alone."""
    settings = plan.settings
    state = inspect_folder(plan.out, plan.identity, overwrite=config.overwrite)
    if state == "finished":
        log.info("%s: this very mask is there; --overwrite builds it again", plan.out)
        return told(plan.out, read_run(plan.out))
    ledger = Ledger(plan.out, begin(plan.identity))
    sd = load_checkpoint(plan.source, device=config.model.device, dtype="float32")
    NoiseSchedule.of(sd.scheduler)
    parameters = trainable_parameters(sd.unet, settings.train_method)
    require_disk(sd, parameters, plan, ("forget",), density=None, erases=False)
    prepare_folder(plan.out, fresh=state == "new")
    ledger.note()
    ledger.clock.lap("load")
    forget = build_forget_set(sd, plan, "random", settings.seed)
    ledger.clock.lap("sets")
    mask = build_mask(sd, parameters, forget, plan, settings, "saliency", ALONE)
    mask.save(plan.out / "mask.safetensors")
    draw_mask(mask, plan.out / "mask.png")
    ledger.clock.lap("mask")
    blocks, kinds = map(mask_parts, summarise(mask))
    return told(plan.out, ledger.finish(mask, {"blocks": blocks, "kinds": kinds}))
