"""An optimiser for part of the weights: the rest is never touched, and costs no optimiser state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Build = Callable[[list[Tensor]], torch.optim.Optimizer]
Reduce = Callable[[Tensor], object]
_BUCKET = 1 << 22
"""Selected weights that are updated together: enough that no time goes into calling."""
_INDEXED = 1 << 26
"""Bytes of indices up to which places are kept as such; as bits they take less, and some time."""


@dataclass(frozen=True)
class Places:
    """Which weights of a tensor are selected, by position in memory order."""

    count: int
    """How many there are."""
    total: int
    """How many weights the tensor has."""
    stored: Tensor
    """int32 [count] on the tensor's device, or a bit a weight, uint8 [total / 8], on the CPU."""

    @staticmethod
    def of(bits: Tensor, *, packed: bool) -> Places:
        """Those where the flat `bits` are True."""
        if packed or bits.numel() > torch.iinfo(torch.int32).max:
            stored = torch.from_numpy(np.packbits(bits.cpu().numpy()))
        else:
            stored = bits.nonzero().flatten().int()
        return Places(int(bits.sum()), bits.numel(), stored)

    def indices(self, device: torch.device) -> Tensor:
        """int64 [count], ascending."""
        if self.stored.dtype == torch.int32:
            return self.stored.long()
        # On a CPU several times as fast as torch's own unpacking and nonzero.
        bits = np.unpackbits(self.stored.numpy(), count=self.total)
        return torch.from_numpy(np.flatnonzero(bits.view(bool))).to(device)


@dataclass(frozen=True)
class _Member:
    """A parameter of a bucket, and where its selected weights are in the bucket's."""

    parameter: nn.Parameter
    places: Places
    span: slice


class _Bucket:
    """Some parameters whose selected weights are updated together."""

    def __init__(
        self, chosen: list[tuple[nn.Parameter, Places]], build: Build, reduce: Reduce | None
    ) -> None:
        """Gather the weights into one float32 tensor, of which an own inner optimiser is built."""
        self._reduce = reduce
        self.members: list[_Member] = []
        end = 0
        for parameter, places in chosen:
            self.members.append(_Member(parameter, places, slice(end, end + places.count)))
            end += places.count
        self.weights = torch.empty(end, device=chosen[0][0].device)
        for member in self.members:
            indices = member.places.indices(self.weights.device)
            values = _in_memory_order(member.parameter.detach(), member.parameter)
            self.weights[member.span] = torch.take(values, indices).float()
        self.inner = build([self.weights])
        self.gradient_sum = torch.zeros((), device=self.weights.device)
        self._waiting = len(self.members)

    def arrived(self, _: Tensor) -> None:
        """Count a gradient that is complete; the last one updates them all."""
        self._waiting -= 1
        if self._waiting == 0:
            self.update()

    @torch.no_grad()
    def update(self) -> None:
        """One step of the inner optimiser, from the members' gradients, which are freed."""
        gradient = torch.zeros_like(self.weights)
        found = [member.places.indices(self.weights.device) for member in self.members]
        for member, indices in zip(self.members, found, strict=True):
            if member.parameter.grad is not None:
                flat = _in_memory_order(member.parameter.grad, member.parameter)
                gradient[member.span] = torch.take(flat, indices).float()
                member.parameter.grad = None
        if self._reduce:
            self._reduce(gradient)
        self.gradient_sum = gradient.sum()
        self.weights.grad = gradient
        self.inner.step()
        self.weights.grad = None
        for member, indices in zip(self.members, found, strict=True):
            self._scatter(member, indices)
        self._waiting = len(self.members)

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over weights and inner state, as `state` gave them, and scatter the weights."""
        self.weights.copy_(tensors["weights"])
        self.inner.state[self.weights] = {n: t for n, t in tensors.items() if n != "weights"}
        for member in self.members:
            self._scatter(member, member.places.indices(self.weights.device))

    def state(self) -> dict[str, Tensor]:
        """The weights and what the inner optimiser keeps of them, by name."""
        kept = self.inner.state.get(self.weights, {})
        return {
            "weights": self.weights,
            **{name: value for name, value in kept.items() if isinstance(value, Tensor)},
        }

    def _scatter(self, member: _Member, indices: Tensor) -> None:
        flat = _in_memory_order(member.parameter.detach(), member.parameter)
        flat.index_copy_(0, indices, self.weights[member.span].to(flat.dtype))


class MaskedOptimizer:
    """Any torch optimiser, run on the selected weights alone.

    The selected weights are gathered into 1-D float32 tensors, which the inner optimisers own,
    moments and weight decay included; after each step they are scattered back. So an unselected
    weight stays bit-identical whatever its gradient is (NaN too), and a parameter held in half
    precision is trained through float32 copies. Parameters of which nothing is selected stop
    requiring a gradient; a gradient that is missing counts as zero.

    With `in_backward` parameters are updated as soon as their gradients are there, within
    `backward`, and the gradients freed: only a few are ever held. That needs the whole batch in one
    pass of one process.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        mask: Mapping[str, Tensor],
        build: Build,
        *,
        in_backward: bool = False,
        reduce: Reduce | None = None,
    ) -> None:
        """`mask` has a bool tensor of the parameter's shape under each parameter's name.

        `reduce` is given each bucket's gradient before it is used, to add other processes' to it.
        """
        self._shared = reduce is not None
        self._homes: dict[str, tuple[_Bucket, _Member]] = {}
        self.buckets: list[_Bucket] = []
        for names, chosen in _bucketed(parameters, mask):
            bucket = _Bucket(chosen, build, reduce)
            self.buckets.append(bucket)
            self._homes |= {
                name: (bucket, m) for name, m in zip(names, bucket.members, strict=True)
            }
        if not self.buckets:
            raise ValueError("the mask selects no weight")
        self._hooks = [
            member.parameter.register_post_accumulate_grad_hook(bucket.arrived)
            for bucket in self.buckets
            for member in bucket.members
            if in_backward
        ]

    @property
    def selected(self) -> int:
        """How many weights are trained."""
        return sum(len(bucket.weights) for bucket in self.buckets)

    @property
    def finite(self) -> bool:
        """Whether the last gradients were: their sums are, which is one quick pass over each."""
        return bool(torch.stack([bucket.gradient_sum for bucket in self.buckets]).isfinite().all())

    def set_lr(self, lr: float) -> None:
        """Change the learning rate of the updates to come."""
        for bucket in self.buckets:
            for group in bucket.inner.param_groups:
                group["lr"] = lr

    def step(self) -> None:
        """Update all that has a gradient left; with `in_backward` that is usually nothing.

        With `reduce` all is updated: another process may have what this one has not.
        """
        for bucket in self.buckets:
            if self._shared or any(member.parameter.grad is not None for member in bucket.members):
                bucket.update()

    def close(self) -> None:
        """Let go of the parameters: no `backward` updates them any more."""
        for hook in self._hooks:
            hook.remove()

    def state(self) -> dict[str, Tensor]:
        """All that a training needs to go on from here, by name; tensors in use, not copies."""
        return {
            f"{i}.{name}": tensor
            for i, bucket in enumerate(self.buckets)
            for name, tensor in bucket.state().items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, of the same parameters and mask; else a ValueError."""
        for i, bucket in enumerate(self.buckets):
            start = f"{i}."
            own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            if "weights" not in own or own["weights"].shape != bucket.weights.shape:
                raise ValueError(f"bucket {i} is of other parameters")
            device = bucket.weights.device
            # Step counters stay where the inner optimiser has them, on the CPU.
            bucket.restore({n: t.to(device) if t.ndim else t for n, t in own.items()})

    def merged(self, name: str, base: Tensor) -> Tensor:
        """A parameter's tensor as trained, float32: `base` with the selected weights in place.

        `base` must have the parameter's shape. What was not selected is the base's own.
        """
        if name not in self._homes:
            return base.float()
        bucket, member = self._homes[name]
        result = torch.empty_like(member.parameter, dtype=torch.float32, device="cpu").copy_(base)
        flat = _in_memory_order(result, result)
        indices = member.places.indices(torch.device("cpu")).cpu()
        flat.index_copy_(0, indices, bucket.weights[member.span].cpu())
        return result.contiguous()


def _bucketed(
    parameters: Mapping[str, nn.Parameter], mask: Mapping[str, Tensor]
) -> Iterator[tuple[list[str], list[tuple[nn.Parameter, Places]]]]:
    """The parameters in which something is selected, in groups of some millions of weights."""
    packed = 4 * sum(int(mask[name].sum()) for name in parameters) > _INDEXED
    names: list[str] = []
    chosen: list[tuple[nn.Parameter, Places]] = []
    for name, parameter in parameters.items():
        bits = mask[name].to(parameter.device)
        if bits.shape != parameter.shape:
            raise ValueError(f"mask of {name}: {tuple(bits.shape)}, not {tuple(parameter.shape)}")
        parameter.requires_grad_(bool(bits.any()))
        if parameter.requires_grad:
            places = Places.of(_in_memory_order(bits, parameter), packed=packed)
            if chosen and sum(p.count for _, p in chosen) + places.count > _BUCKET:
                yield names, chosen
                names, chosen = [], []
            names.append(name)
            chosen.append((parameter, places))
    if chosen:
        yield names, chosen


def _in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """Flatten `tensor` in the order in which `like` lies in memory (channels-last, for one).

    For `like` itself, which must be dense, this is a view: writing to it writes to the parameter.
    """
    order = sorted(range(like.ndim), key=lambda axis: (-like.stride(axis), axis))
    flat = tensor.permute(order)
    return flat.view(-1) if tensor.data_ptr() == like.data_ptr() else flat.reshape(-1)
