"""Sets and short trainings of a tiny model, through the method itself."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor

from erase.image_sets.datasets import ForgetSet, RetainSet, add_relabels, draw_set
from erase.image_sets.drawing import Drawing
from erase.methods.salun import erase, forget_saliency
from erase.models.bundle import Bundle
from erase.saliency.selection import top_k_mask
from erase.training.loop import Kit
from erase.training.step_log import StepRow

DRAWING = Drawing(sampler="ddim", steps=2, guidance_scale=3.0, batch_size=4)
DEFAULTS: dict[str, Any] = {
    "steps": 3,
    "lr": 1e-3,
    "lr_schedule": "constant",
    "batch_size": 3,
    "alpha": 2.0,
    "teacher": "frozen",
    "retain_target": "noise",
    "noise_weight": 1.0,
    "relabel_share": 0.0,
    "adversaries": 0,
    "mix": 0.0,
    "seed": 0,
}


def split_kit(changes: dict[str, Any]) -> tuple[Kit, dict[str, Any]]:
    """The machine's side of some arguments, and the method's numbers."""
    names = {field.name for field in fields(Kit)}
    machine = {name: value for name, value in changes.items() if name in names}
    return Kit(**machine), {n: v for n, v in changes.items() if n not in names}


def make_sets(sd: Bundle, cache: Path, relabel: str) -> tuple[ForgetSet, RetainSet]:
    """Four images to forget and five to retain."""

    def draw(prompts: tuple[str, ...], count: int, role: str) -> RetainSet:
        return draw_set(sd, prompts, count, seed=0, role=role, drawing=DRAWING, cache=cache)

    forget = draw(("a church",), 4, "forget")
    return add_relabels(sd, forget, lambda _: (relabel,)), draw(("a dog", "a tree"), 5, "retain")


def train(
    sd: Bundle, cache: Path, density: float, relabel: str = "a dog", **changes: Any
) -> tuple[list[StepRow], dict[str, Tensor]]:
    """Erase in place; gives the log and the mask."""
    forget, retain = make_sets(sd, cache, relabel)
    parameters = sd.trainable("full")
    saliency = forget_saliency(sd, parameters, forget, Kit(), guidance=7.5, batch_size=3, seed=0)
    mask = top_k_mask(saliency, density, {}).unpacked()
    kit, numbers = split_kit(DEFAULTS | changes)
    return erase(sd, parameters, mask, forget, retain, kit, **numbers)[0], mask


def weights(sd: Bundle) -> dict[str, Tensor]:
    """A copy of the UNet's weights."""
    return {name: tensor.clone() for name, tensor in sd.unet.state_dict().items()}
