"""Some millions of weights whose selected ones are updated together: where they are, one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Build = Callable[[list[Tensor]], torch.optim.Optimizer]
Reduce = Callable[[Tensor], object]
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Places:
    """Which weights of a flat tensor are selected."""

    total: int
    """How many weights the tensor has."""
    selected: int
    """How many of them are selected."""
    stored: Tensor
    """On the tensor's device: int64 [selected], or a bit a weight, uint8 [total / 8]."""

    @staticmethod
    def of(bits: Tensor, *, packed: bool) -> Places:
        """Those where the flat `bits` are True."""
        if packed:
            stored = torch.from_numpy(np.packbits(bits.cpu().numpy())).to(bits.device)
        else:
            stored = bits.nonzero().flatten()
        return Places(bits.numel(), int(bits.sum()), stored)

    def indices(self, device: torch.device) -> Tensor:
        """int64 [selected], ascending."""
        stored = self.stored.to(device)
        if stored.dtype == torch.int64:
            return stored
        if device.type != "cpu":
            return unpack(stored, self.total, self.selected)
        # On a CPU several times as fast as torch's own unpacking and nonzero.
        bits = np.unpackbits(stored.numpy(), count=self.total)
        return torch.from_numpy(np.flatnonzero(bits.view(bool)))


def unpack(packed: Tensor, total: int, selected: int) -> Tensor:
    """Where bits are 1, int64 [selected], on their own device; `packed` as numpy packs them.

    Nothing is copied to another device, nor waited for, since it is known how many there are.
    """
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    bits = (packed[:, None] >> shifts & 1).flatten()[:total]
    return torch.nonzero_static(bits, size=selected).flatten()


@dataclass(frozen=True)
class Part:
    """Weights `start` to `stop` of a parameter in memory order."""

    name: str
    parameter: nn.Parameter
    start: int
    stop: int

    def of(self, tensor: Tensor) -> Tensor:
        """These of a tensor of the parameter's shape, flat; of the parameter itself, a view."""
        return in_memory_order(tensor.detach(), self.parameter)[self.start : self.stop]


def join(parts: Sequence[Part], tensors: Mapping[str, Tensor]) -> Tensor:
    """What the parts are of tensors by name, one after the other; of one part perhaps a view."""
    flat = [part.of(tensors[part.name]) for part in parts]
    return flat[0] if len(flat) == 1 else torch.cat(flat)


class Bucket:
    """The selected weights of some parts, in one float32 tensor with an optimiser of its own."""

    def __init__(
        self,
        parts: Sequence[Part],
        places: Places,
        values: Tensor,
        build: Build,
        reduce: Reduce | None,
    ) -> None:
        """`values` has all weights of the parts, one part after the other; `places` is of them."""
        self.parts, self.places, self._reduce = parts, places, reduce
        self._device = parts[0].parameter.device
        self.weights = torch.take(values, places.indices(self._device)).float()
        self.inner = build([self.weights])
        self.gradient_sum = torch.zeros((), device=self._device)

    @torch.no_grad()
    def update(self) -> None:
        """One step of the inner optimiser, from the parameters' gradients; a missing one is 0."""
        indices = self.places.indices(self._device)
        found = {part.name: _gradient(part.parameter) for part in self.parts}
        gradient = torch.take(join(self.parts, found), indices).float()
        del found
        if self._reduce:
            self._reduce(gradient)
        self.gradient_sum = gradient.sum()
        self.weights.grad = gradient
        self.inner.step()
        self.weights.grad = None
        self._scatter(indices)

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights and inner state, as `state` gave them, and scatter the weights."""
        self.weights.copy_(tensors["weights"])
        kept = {name: tensor for name, tensor in tensors.items() if name != "weights"}
        # It knows where its step counter must be, which differs between optimisers.
        self.inner.load_state_dict(self.inner.state_dict() | {"state": {0: kept}})
        self._scatter(self.places.indices(self._device))

    def state(self) -> dict[str, Tensor]:
        """The weights and what the inner optimiser keeps of them, by name."""
        kept = self.inner.state.get(self.weights, {})
        return {
            "weights": self.weights,
            **{name: value for name, value in kept.items() if isinstance(value, Tensor)},
        }

    def merge(self, name: str, flat: Tensor) -> None:
        """Put a parameter's trained weights into its flat float32 tensor on the CPU."""
        indices, weights = self.places.indices(_CPU), self.weights.cpu()
        start = 0
        for part in self.parts:
            stop = start + part.stop - part.start
            if part.name == name:
                first, last = torch.searchsorted(indices, torch.tensor([start, stop])).tolist()
                places = indices[first:last] - start + part.start
                flat.index_copy_(0, places, weights[first:last])
            start = stop

    def _scatter(self, indices: Tensor) -> None:
        """Write the weights to where they are selected, and nothing new elsewhere."""
        flat = join(self.parts, {part.name: part.parameter for part in self.parts})
        flat.index_copy_(0, indices, self.weights.to(flat.dtype))
        if len(self.parts) > 1:
            views = [part.of(part.parameter) for part in self.parts]
            torch._foreach_copy_(views, list(flat.split([view.numel() for view in views])))


def in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """Flatten `tensor` in the order in which `like` lies in memory (channels-last, for one).

    For `like` itself, which must be dense, this is a view: writing to it writes to the parameter.
    """
    order = sorted(range(like.ndim), key=lambda axis: (-like.stride(axis), axis))
    flat = tensor.permute(order)
    return flat.view(-1) if tensor.data_ptr() == like.data_ptr() else flat.reshape(-1)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
