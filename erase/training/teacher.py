"""A teacher: the model whose predictions are a training's targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from erase.training.batches import Rows

Drawn = TypeVar("Drawn", bound=Rows)
"""What a method draws for a step."""
Target = tuple[Tensor, ...]
"""What the images of a micro-batch are held to, and whatever else a teacher finds for them, each
[B, C, h, w] on the CPU."""


@dataclass(frozen=True)
class Teacher(Generic[Drawn]):
    """Who says what the student's predictions are held to."""

    ask: Callable[[Any, Drawn], Target]
    """The targets of some of a step's images, given the teaching denoiser."""
    frozen: bool
    """The original model; or else the one that is being trained, as it is at each step."""
    follows: bool = False
    """Whether it also looks at the student, as it is at each step: it cannot speak ahead then."""


@torch.no_grad()
def teach(
    denoiser: Any, teacher: Teacher[Drawn], draws: Iterable[Drawn], own: list[slice]
) -> Iterator[list[Target]]:
    """What the teacher says of each step's own micro-batches, when it is asked for."""
    for draw in draws:
        yield [teacher.ask(denoiser, draw[rows].to(denoiser.device)) for rows in own]


def listed(targets: Iterable[list[Target]], taught: Callable[[], object]) -> list[list[Target]]:
    """All of them, each reported."""
    found = []
    for target in targets:
        found.append(target)
        taught()
    return found
