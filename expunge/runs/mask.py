"""The mask of a run: by saliency within the memory there is, at random, or of all weights.

`build` makes one alone, into a folder of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn
from tqdm import tqdm

from erase.image_sets.datasets import RetainSet
from erase.methods.salun import forget_saliency
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import inspect_folder, prepare_folder, read_run
from erase.saliency.contrast import contrast
from erase.saliency.mask import SaliencyMask
from erase.saliency.mask_chart import draw_mask, summarise
from erase.saliency.selection import full_mask, random_mask, top_k_mask
from erase.training.loop import Kit
from erase.training.memory import plan_saliency
from expunge.runs.lesson import drop_unread
from expunge.runs.plan import Plan, make_plan, require_images
from expunge.runs.record import Ledger, begin, mask_parts, told
from expunge.runs.room import require_disk
from expunge.runs.sets import build_forget_set
from expunge.settings.erase import Mask
from expunge.settings.training import MaskKind, Saliency
from plumbing.errors import UsageError
from plumbing.lock import locked
from plumbing.processes import ALONE, Team

log = logging.getLogger(__name__)


def left_mask(path: Path) -> SaliencyMask | None:
    """The mask that an unfinished run left; None, and a warning, if it is damaged."""
    if not path.is_file():
        return None
    try:
        return SaliencyMask.load(path, checked=True)
    except UsageError as error:
        log.warning("%s; making it again", str(error).removeprefix("--mask ").split(";")[0])
        return None


def build_mask(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    sets: Mapping[str, Any],
    plan: Plan,
    settings: Saliency,
    kind: MaskKind,
    team: Team,
) -> SaliencyMask:
    """A mask of a `kind`, none being of all weights, with its story in the metadata.

    By saliency it is of the set `forget`; contrastive, of that and of `retain`.
    """
    guidance = settings.saliency_guidance
    metadata = {
        "kind": kind,
        "concept": plan.concept.name,
        "density": repr(settings.density),
        "loss": f"guided MSE, guidance {guidance}" if guidance else "MSE",
        "seed": str(settings.seed),
        "base": plan.source.digest,
        "train_method": settings.train_method,
    }
    if kind == "none":
        return full_mask(parameters, metadata)
    if kind == "random":
        return random_mask(parameters, settings.density, settings.seed, metadata)
    saliency, how = _saliency_in_memory(sd, parameters, sets["forget"], settings, team)
    if kind == "contrastive":
        kept, _ = _saliency_in_memory(sd, parameters, sets["retain"], settings, team)
        saliency = contrast(saliency, kept)
    return top_k_mask(saliency, settings.density, metadata | how)


def _saliency_in_memory(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    forget: RetainSet,
    settings: Saliency,
    team: Team,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The saliency, in passes that fit the free memory; and what the mask's story says of them."""
    batch_size, guidance = settings.batch_size, settings.saliency_guidance
    how = {}
    micro_batch, checkpointing = plan_saliency(
        sd.denoiser,
        parameters=list(parameters.values()),
        batch_size=batch_size,
        guided=guidance > 0,
    )
    if checkpointing:
        sd.denoiser.enable_gradient_checkpointing()
    saliency = None
    while saliency is None:
        if micro_batch < batch_size or checkpointing:
            log.info("saliency: %d images at once, as the free memory allows", micro_batch)
            how = {"micro_batch": str(micro_batch)}
        try:
            saliency = _saliency(sd, parameters, forget, settings, micro_batch, team)
        except RuntimeError as error:
            if micro_batch == 1 or team.count > 1 or not should_reduce_batch_size(error):
                raise
            micro_batch //= 2
        # Out of the handler, whose traceback holds what there was no room for.
        clear_device_cache(garbage_collection=saliency is None)
    if checkpointing:
        sd.denoiser.disable_gradient_checkpointing()
    return saliency, how


def _saliency(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    forget: RetainSet,
    settings: Saliency,
    micro_batch: int,
    team: Team,
) -> dict[str, Tensor]:
    """With a bar."""
    count = -(-len(forget) // team.count)
    with tqdm(total=count, desc="saliency", unit="img", disable=not team.leads) as bar:
        return forget_saliency(
            sd,
            parameters,
            forget,
            Kit(micro_batch=micro_batch, team=team, seen=bar.update),
            guidance=settings.saliency_guidance,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )


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
    if state == "new":
        require_images(plan)
    ledger = Ledger(plan.out, begin(plan.identity))
    sd = load_checkpoint(plan.source, device=config.model.device, dtype="float32")
    ledger.watch(sd)
    plan = drop_unread(sd, plan)
    parameters = sd.trainable(settings.train_method)
    require_disk(sd, parameters, plan, ("forget",), trained=None, erases=False)
    prepare_folder(plan.out, fresh=state == "new")
    ledger.note()
    ledger.lap("load")
    forget = build_forget_set(sd, plan, None, settings.seed)
    ledger.lap("sets")
    mask = build_mask(sd, parameters, {"forget": forget}, plan, settings, "saliency", ALONE)
    mask.save(plan.out / "mask.safetensors")
    draw_mask(mask, plan.out / "mask.png")
    ledger.lap("mask")
    blocks, kinds = map(mask_parts, summarise(mask))
    return told(plan.out, ledger.finish(mask, {"blocks": blocks, "kinds": kinds}))
