"""Sets and short trainings of a tiny model, through the method itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from erase.diffusion.train_method import trainable_parameters
from erase.image_sets.datasets import Drawing, ForgetSet, RetainSet, add_relabels, draw_set
from erase.methods.salun import erase, forget_saliency
from erase.models.stable_diffusion import StableDiffusion
from erase.saliency.selection import top_k_mask
from erase.training.step_log import StepRow

DRAWING = Drawing(sampler="ddim", steps=2, guidance_scale=3.0, batch_size=4)
DEFAULTS: dict[str, Any] = {
    "steps": 3,
    "lr": 1e-3,
    "linear_decay": False,
    "batch_size": 3,
    "alpha": 2.0,
    "frozen_teacher": True,
    "teach_retained": False,
    "noise_weight": 1.0,
    "seed": 0,
}


def make_sets(sd: StableDiffusion, cache: Path, relabel: str) -> tuple[ForgetSet, RetainSet]:
    """Four images to forget and five to retain."""

    def draw(prompts: tuple[str, ...], count: int, role: str) -> RetainSet:
        return draw_set(sd, prompts, count, seed=0, role=role, drawing=DRAWING, cache=cache)

    forget = draw(("a church",), 4, "forget")
    return add_relabels(sd, forget, lambda _: (relabel,)), draw(("a dog", "a tree"), 5, "retain")


def train(
    sd: StableDiffusion, cache: Path, density: float, relabel: str = "a dog", **changes: Any
) -> tuple[list[StepRow], dict[str, Tensor]]:
    """Erase in place; gives the log and the mask."""
    forget, retain = make_sets(sd, cache, relabel)
    parameters = trainable_parameters(sd.unet, "full")
    saliency = forget_saliency(sd, parameters, forget, guidance=7.5, batch_size=3, seed=0)
    mask = top_k_mask(saliency, density, {}).unpacked()
    return erase(sd, parameters, mask, forget, retain, **(DEFAULTS | changes))[0], mask


def weights(sd: StableDiffusion) -> dict[str, Tensor]:
    """A copy of the UNet's weights."""
    return {name: tensor.clone() for name, tensor in sd.unet.state_dict().items()}
