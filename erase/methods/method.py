"""What a method of erasing is to the product: how it is called, and what it must be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch import Tensor

from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow


@dataclass(frozen=True)
class Teaching:
    """What a training's teacher costs in memory."""

    frozen: bool = False
    """Whether its targets, or a copy of the denoiser, are held."""
    sets: int = 1
    """Of how many sets it predicts targets."""


@dataclass(frozen=True)
class Trained:
    """A method that trains the weights a mask selects, on a forget and a retain set."""

    title: str
    """Its name for people."""
    erase: Callable[..., tuple[list[StepRow], MaskedOptimizer]]
    """(model, parameters, mask, forget set, retain set, kit, **numbers); see `salun.erase`. The
    numbers are the settled settings whose names it takes."""
    teaching: Callable[[Any], Teaching] = lambda settings: Teaching()
    """By the settled settings."""
    relabel: Callable[[Any], str] = lambda settings: "random"
    """What forget prompts are relabelled to, by the settled settings: `random`, `fixed`, or a
    prompt."""


@dataclass(frozen=True)
class ClosedForm:
    """A method that computes weights at once, without images and without a mask given."""

    title: str
    edit: Callable[..., Mapping[str, Tensor]]
    """(model, parameters, concept, **numbers): the new weights, float32, of the parameters that it
    changes, by name; `concept` has the forget, relabel and retain prompts."""
    scope: str = "xattn"
    """The `train_method` whose parameters it may change."""


Method = Trained | ClosedForm


def numbers_for(function: Callable[..., Any], settings: Any) -> dict[str, Any]:
    """The settings that a function takes by keyword alone."""
    wanted = signature(function).parameters.values()
    return {p.name: getattr(settings, p.name) for p in wanted if p.kind is p.KEYWORD_ONLY}
