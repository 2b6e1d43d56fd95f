"""The mask of a run: by saliency within the memory there is, at random, or of all weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import nn
from tqdm import tqdm

from erase.checkpoint import StableDiffusion
from erase.datasets import ForgetSet
from erase.memory import plan_saliency
from erase.methods.salun import forget_saliency
from erase.options import SaliencyConfig
from erase.prepare import Plan
from erase.saliency import SaliencyMask, full_mask, random_mask, top_k_mask
from erase.team import Team

log = logging.getLogger(__name__)


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
    metadata = {
        "kind": kind,
        "concept": plan.concept.name,
        "density": repr(density),
        "loss": f"guided epsilon MSE, guidance {settings.saliency_guidance}",
        "seed": str(settings.seed),
        "base": plan.source.digest,
        "train_method": settings.train_method or "full",
    }
    if kind == "none":
        return full_mask(parameters, metadata)
    if kind == "random":
        return random_mask(parameters, density, settings.seed, metadata)
    guidance, batch_size = settings.saliency_guidance or 0.0, settings.batch_size or 1
    micro_batch, checkpointing = plan_saliency(
        sd.unet,
        parameters=list(parameters.values()),
        batch_size=batch_size,
        guided=guidance > 0,
    )
    if micro_batch < batch_size or checkpointing:
        log.info("saliency: %d images at once, as the free memory allows", micro_batch)
        metadata |= {"micro_batch": str(micro_batch)}
    if checkpointing:
        sd.unet.enable_gradient_checkpointing()
    count = -(-len(forget) // team.count)
    with tqdm(total=count, desc="saliency", unit="img", disable=not team.leads) as bar:
        saliency = forget_saliency(
            sd,
            parameters,
            forget,
            guidance=guidance,
            batch_size=batch_size,
            micro_batch=micro_batch,
            team=team,
            seed=settings.seed,
            progress=bar.update,
        )
    if checkpointing:
        sd.unet.disable_gradient_checkpointing()
    return top_k_mask(saliency, density, metadata)
