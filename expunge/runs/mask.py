"""The mask of a run: by saliency within the memory there is, at random, or of all weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor, nn
from tqdm import tqdm

from erase.image_sets.datasets import ForgetSet
from erase.methods.salun import forget_saliency
from erase.models.stable_diffusion import StableDiffusion
from erase.saliency.mask import SaliencyMask
from erase.saliency.selection import full_mask, random_mask, top_k_mask
from erase.training.memory import plan_saliency
from expunge.runs.plan import Plan
from expunge.settings.groups import SaliencyConfig
from plumbing.errors import UsageError
from plumbing.processes import Team

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
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    forget: ForgetSet,
    plan: Plan,
    settings: SaliencyConfig,
    kind: str,
    team: Team,
) -> SaliencyMask:
    """A mask of `kind` saliency, random or none (all weights), with its story in the metadata."""
    density = 1.0 if kind == "none" else settings.density or 1.0
    guidance, batch_size = settings.saliency_guidance or 0.0, settings.batch_size or 1
    metadata = {
        "kind": kind,
        "concept": plan.concept.name,
        "density": repr(density),
        "loss": f"guided MSE, guidance {guidance}" if guidance else "MSE",
        "seed": str(settings.seed),
        "base": plan.source.digest,
        "train_method": settings.train_method or "full",
    }
    if kind == "none":
        return full_mask(parameters, metadata)
    if kind == "random":
        return random_mask(parameters, density, settings.seed, metadata)
    micro_batch, checkpointing = plan_saliency(
        sd.unet,
        parameters=list(parameters.values()),
        batch_size=batch_size,
        guided=guidance > 0,
    )
    if checkpointing:
        sd.unet.enable_gradient_checkpointing()
    saliency = None
    while saliency is None:
        if micro_batch < batch_size or checkpointing:
            log.info("saliency: %d images at once, as the free memory allows", micro_batch)
            metadata |= {"micro_batch": str(micro_batch)}
        try:
            saliency = _saliency(sd, parameters, forget, settings, guidance, micro_batch, team)
        except RuntimeError as error:
            if micro_batch == 1 or team.count > 1 or not should_reduce_batch_size(error):
                raise
            micro_batch //= 2
        # Out of the handler, whose traceback holds what there was no room for.
        clear_device_cache(garbage_collection=saliency is None)
    if checkpointing:
        sd.unet.disable_gradient_checkpointing()
    return top_k_mask(saliency, density, metadata)


def _saliency(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    forget: ForgetSet,
    settings: SaliencyConfig,
    guidance: float,
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
            guidance=guidance,
            batch_size=settings.batch_size or 1,
            micro_batch=micro_batch,
            team=team,
            seed=settings.seed,
            progress=bar.update,
        )
