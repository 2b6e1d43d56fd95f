"""What a method of erasing is to the product: how it is called, and what it must be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, get_args

from torch import Tensor

from erase.training.low_rank import LowRank
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow


@dataclass(frozen=True)
class Cost:
    """What a training takes in passes and memory, for each image of a step's batch."""

    trained: float = 2
    """Rows that the student predicts."""
    taught: int = 1
    """Rows that the teacher predicts."""
    held: int = 1
    """Tensors of an image's size that are kept of them, where the teacher speaks ahead."""
    frozen: bool = False
    """Whether the teacher is the original, of which targets or a copy are held."""
    ahead: bool = True
    """Whether a frozen teacher can speak ahead."""
    beside: int = 0
    """Rows that the student predicts with a gradient for something else, in a step."""
    sampled: int = 0
    """Rows that are predicted on the way to what is noised, in the whole training."""


Sets = Literal["forget", "retain", "anchor", "prompts"]


@dataclass(frozen=True)
class Trained:
    """A method that trains the weights that a mask selects."""

    title: str
    """Its name for people."""
    erase: Callable[..., tuple[list[StepRow], MaskedOptimizer]]
    """(model, parameters, mask, …sets, kit, **numbers); see `salun.erase`. It is given the sets and
    the settled settings whose names it takes."""
    cost: Callable[[Any], Cost] = lambda settings: Cost()
    """By the settled settings."""
    sets: Callable[[Any], tuple[Sets, ...]] = lambda settings: ("forget", "retain")
    """What it is trained on, by the settled settings: images of the concept, of all else, of what
    takes the concept's place (`AnchorSet`), or prompts alone (`PromptSet`). A set that it takes and
    does not ask for is None."""
    relabel: Callable[[Any], str | None] = lambda settings: "random"
    """What forget prompts are relabelled to, by the settled settings: `random`, `fixed`, or a
    prompt; None: nothing."""
    low_rank: Callable[[Any], LowRank | None] = lambda settings: None
    """Of a method that trains factors instead of weights: those of all linear and convolution
    layers among the parameters, and no mask is built."""


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
_SETS = get_args(Sets)


def sets_for(function: Callable[..., Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """The sets that a function takes, by their names; None for those that there are not."""
    return {name: sets.get(name) for name in signature(function).parameters if name in _SETS}


def numbers_for(function: Callable[..., Any], settings: Any) -> dict[str, Any]:
    """The settings that a function takes by keyword alone."""
    wanted = signature(function).parameters.values()
    return {p.name: getattr(settings, p.name) for p in wanted if p.kind is p.KEYWORD_ONLY}
