"""Gradients of a loss, summed over batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from plumbing.errors import UsageError

Batch = TypeVar("Batch")


def accumulate_saliency(
    parameters: Mapping[str, nn.Parameter],
    batches: Iterable[Batch],
    loss: Callable[[Batch], Tensor],
    reduce: Callable[[Tensor], object] = lambda gradient: None,
) -> dict[str, Tensor]:
    """|sum over the batches of the loss's gradient|, a float32 CPU tensor a parameter.

    The absolute value is of the *sum*: gradients that cancel over the forget set do not count.
    `loss` maps a batch to a scalar, and it decides how the model is run. Works for any module.
    `reduce` is given each parameter's sum, to add that of other processes to it.
    """
    for parameter in parameters.values():
        parameter.requires_grad_(True)
        parameter.grad = None
    for batch in batches:
        loss(batch).backward()
    saliency = {}
    for name, parameter in parameters.items():
        gradient = parameter.grad
        parameter.grad = None
        gradient = torch.zeros_like(parameter) if gradient is None else gradient
        reduce(gradient)
        saliency[name] = gradient.detach().abs().float().cpu().contiguous()
        if not saliency[name].isfinite().all():
            raise UsageError(f"the saliency of {name} is not finite; try --dtype float32")
    return saliency
