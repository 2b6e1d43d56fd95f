"""An optimiser for part of the weights: the rest is never touched, and costs no optimiser state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class _Selection:
    parameter: nn.Parameter
    places: Tensor
    """Positions of the selected weights in memory order, int32 where they fit."""
    weights: Tensor
    """The selected weights in float32, 1-D: what the inner optimiser sees and keeps state for."""


class MaskedOptimizer:
    """Any torch optimiser, run on the selected weights alone.

    The selected weights of each parameter are gathered into one 1-D float32 tensor, which the
    inner optimiser owns, moments and weight decay included; after each step they are scattered
    back. So an unselected weight stays bit-identical whatever its gradient is (NaN too), and a
    parameter held in half precision is trained through float32 copies. Parameters of which nothing
    is selected stop requiring a gradient.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        mask: Mapping[str, Tensor],
        build: Callable[[list[Tensor]], torch.optim.Optimizer],
    ) -> None:
        """`mask` has a bool tensor of the parameter's shape under each parameter's name."""
        self._selections = []
        for name, parameter in parameters.items():
            bits = mask[name].to(parameter.device)
            if bits.shape != parameter.shape:
                raise ValueError(
                    f"mask of {name}: {tuple(bits.shape)}, not {tuple(parameter.shape)}"
                )
            parameter.requires_grad_(bool(bits.any()))
            if parameter.requires_grad:
                self._selections.append(_select(parameter, bits))
        if not self._selections:
            raise ValueError("the mask selects no weight")
        self.inner = build([selection.weights for selection in self._selections])

    @property
    def selected(self) -> int:
        """How many weights are trained."""
        return sum(selection.weights.numel() for selection in self._selections)

    @torch.no_grad()
    def step(self, lr: float | None = None) -> None:
        """Update the selected weights and free the gradients; `lr` replaces the rate."""
        for group in self.inner.param_groups:
            group["lr"] = group["lr"] if lr is None else lr
        for selection in self._selections:
            gradient = selection.parameter.grad
            if gradient is not None:
                flat = _in_memory_order(gradient, selection.parameter)
                selection.weights.grad = flat[selection.places].float()
            selection.parameter.grad = None
        self.inner.step()
        self.inner.zero_grad(set_to_none=True)
        for selection in self._selections:
            flat = _in_memory_order(selection.parameter.detach(), selection.parameter)
            flat[selection.places] = selection.weights.to(flat.dtype)


def _select(parameter: nn.Parameter, bits: Tensor) -> _Selection:
    places = _in_memory_order(bits, parameter).nonzero().flatten()
    if parameter.numel() <= torch.iinfo(torch.int32).max:
        places = places.int()
    weights = _in_memory_order(parameter.detach(), parameter)[places].float()
    return _Selection(parameter, places, weights)


def _in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """Flatten `tensor` in the order in which `like` lies in memory (channels-last, for one).

    For `like` itself, which must be dense, this is a view: writing to it writes to the parameter.
    """
    order = sorted(range(like.ndim), key=lambda axis: (-like.stride(axis), axis))
    flat = tensor.permute(order)
    return flat.view(-1) if tensor.data_ptr() == like.data_ptr() else flat.reshape(-1)
