"""What a teacher predicts of every step, all before a training begins or step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from erase.diffusion.prediction import predict, training_arithmetic
from erase.training.batches import Draw, join_batches

Target = tuple[Tensor, Tensor]
"""What a micro-batch's forget and retain images are held to, each [B, C, h, w] on the CPU."""


@torch.no_grad()
def teach(
    teacher: Any, draws: Iterable[Draw], own: list[slice], teach_retained: bool, dtype: torch.dtype
) -> Iterator[list[Target]]:
    """What the teacher says of each step's own micro-batches, when it is asked for.

    Of retained images that is its own prediction (`teach_retained`), or else the true noise.
    """
    for draw in draws:
        said = []
        for rows in own:
            part = draw[rows].to(teacher.device)
            asked = part.relabelled()
            asked = join_batches(asked, part.retain) if teach_retained else asked
            with training_arithmetic(teacher, dtype):
                # In the arithmetic's own type nothing is lost, and half the memory is enough.
                prediction = predict(teacher, *asked.inputs).to(dtype).cpu()
            forget, *retain = prediction.split(len(part.forget))
            said.append((forget, retain[0] if retain else draw[rows].retain.target))
        yield said


def listed(targets: Iterable[list[Target]], taught: Callable[[], object]) -> list[list[Target]]:
    """All of them, told of one by one."""
    found = []
    for target in targets:
        found.append(target)
        taught()
    return found
