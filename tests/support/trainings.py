"""Short trainings of a tiny model by any method that trains, through the method itself."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from erase.image_sets.datasets import AnchorSet, PromptSet, RetainSet, add_relabels, draw_set
from erase.image_sets.drawing import Drawing
from erase.methods.method import ClosedForm, Trained, sets_for
from erase.models.bundle import Bundle
from erase.training.loop import Kit
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow
from expunge.settings.methods import METHODS

DRAWING = Drawing(sampler="ddim", steps=2, guidance_scale=3.0, batch_size=4)
PROMPTS = ("a church", "an image of a church")
_COMMON: dict[str, Any] = {
    "steps": 3,
    "lr": 1e-3,
    "lr_schedule": "constant",
    "batch_size": 3,
    "seed": 0,
}
_TRAJECTORIES = {"eta": 1.0, "trajectory_steps": 5, "trajectory_guidance": 3.0}
NUMBERS: dict[str, dict[str, Any]] = {
    "salun": _COMMON
    | {"alpha": 2.0, "teacher": "frozen", "retain_target": "noise", "noise_weight": 1.0}
    | {"relabel_share": 0.0, "adversaries": 0, "mix": 0.0},
    "esd": _COMMON | _TRAJECTORIES | {"trajectory": "original"},
    "ca": _COMMON | {"weight_decay": 0.0, "teacher": "frozen", "prior": 0.0},
    "leco": _COMMON | _TRAJECTORIES | {"weight_decay": 0.01, "rank": 2, "alpha": 1.0},
}
"""Of each method, to be changed by name."""


def trained_methods() -> dict[str, Trained]:
    """Those that are registered."""
    found = {name: import_module(entry.module).METHOD for name, entry in METHODS.items()}
    return {name: method for name, method in found.items() if not isinstance(method, ClosedForm)}


def make_sets(sd: Bundle, cache: Path, relabel: str = "a dog") -> dict[str, Any]:
    """All that any method is trained on: a few images, and two prompts."""

    def draw(prompts: tuple[str, ...], count: int, role: str) -> RetainSet:
        return draw_set(sd, prompts, count, seed=0, role=role, drawing=DRAWING, cache=cache)

    anchors = draw(("a dog", "an apple"), 4, "anchor")
    return {
        "forget": add_relabels(sd, draw(PROMPTS[:1], 4, "forget"), lambda _: (relabel,)),
        "retain": draw(("a dog", "a tree"), 5, "retain"),
        "anchor": AnchorSet(
            **vars(anchors),
            concept_index=torch.tensor([0, 1, 0, 1]),
            concept_conditioning=sd.encode(PROMPTS),
        ),
        "prompts": PromptSet(PROMPTS, sd.encode(PROMPTS), sd.encode_nothing()),
    }


def split_kit(changes: dict[str, Any]) -> tuple[Kit, dict[str, Any]]:
    """The machine's side of some arguments, and the method's numbers."""
    names = {field.name for field in fields(Kit)}
    machine = {name: value for name, value in changes.items() if name in names}
    return Kit(**machine), {n: v for n, v in changes.items() if n not in names}


def train(
    name: str, sd: Bundle, sets: dict[str, Any], mask: dict[str, Tensor] | None = None, **more: Any
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Three steps by the method of a name, of all weights unless a mask says otherwise."""
    method, parameters = trained_methods()[name], sd.trainable("full")
    kit, numbers = split_kit(NUMBERS[name] | more)
    low_rank = method.low_rank(SimpleNamespace(**numbers))
    if low_rank:
        parameters = low_rank.layers(sd.denoiser, parameters)
    bits = mask or {n: torch.ones_like(p, dtype=torch.bool) for n, p in parameters.items()}
    return method.erase(sd, parameters, bits, kit=kit, **sets_for(method.erase, sets), **numbers)


def half(sd: Bundle) -> dict[str, Tensor]:
    """A mask of half of all weights, at random."""
    return {
        name: torch.rand(p.shape, generator=torch.Generator().manual_seed(3)) < 0.5
        for name, p in sd.trainable("full").items()
    }
