"""An optimiser for part of the weights: the rest is never touched, and costs no optimiser state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from erase.training.buckets import Bucket, Build, Part, Places, Reduce, in_memory_order, join

BUCKET = 1 << 21
"""Weights that are updated together, selected or not: few enough to stay in a processor's cache,
enough that no time goes into calling."""
INDEXED = 1 << 26
"""Bytes of indices up to which places are kept as such; as bits they take less, and some time."""


def places_bytes(selected: int, total: int, indexed: int = INDEXED) -> int:
    """What the places of so many of a denoiser's weights take, by the same rule."""
    return 8 * selected if 8 * selected <= indexed else total // 8


class _Group:
    """Parameters whose gradients are waited for: some small ones, or the pieces of a large one."""

    def __init__(self, parameters: list[nn.Parameter], buckets: list[Bucket]) -> None:
        """Every part of the buckets must be of the parameters."""
        self.parameters, self.buckets = parameters, buckets
        self._waiting = len(parameters)

    def arrived(self, _: Tensor) -> None:
        """Count a gradient that is complete; the last one updates them all."""
        self._waiting -= 1
        if self._waiting == 0:
            self.update()

    def update(self) -> None:
        """One step, from gradients, which are freed."""
        for bucket in self.buckets:
            bucket.update()
        for parameter in self.parameters:
            parameter.grad = None
        self._waiting = len(self.parameters)


class MaskedOptimizer:
    """Any torch optimiser, run on the selected weights alone.

    The selected weights are gathered into 1-D float32 tensors, which the inner optimisers own,
    moments and weight decay included; after each step they are scattered back. So an unselected
    weight stays bit-identical whatever its gradient is (NaN too), and a parameter held in half
    precision is trained through float32 copies of its `values`. Parameters of which nothing is
    selected stop requiring a gradient; a gradient that is missing counts as zero.

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
        values: Mapping[str, Tensor] | None = None,
        in_backward: bool = False,
        reduce: Reduce | None = None,
        beside: Mapping[str, Tensor] | None = None,
        bucket: int = BUCKET,
        indexed: int = INDEXED,
    ) -> None:
        """`mask` has a bool tensor of the parameter's shape under each parameter's name.

        `values` has the weights in full precision by name, for parameters that are held in less.
        `reduce` is given each bucket's gradient before it is used, to add other processes' to it.
        `beside` has tensors that change along with the weights: `state` has them, too.
        At most `bucket` weights are updated together, and `indexed` bytes are kept as indices.
        """
        self._shared = reduce is not None
        self._beside = dict(beside or {})
        self._groups: list[_Group] = []
        self._homes: dict[str, list[Bucket]] = {}
        count = sum(int(mask[name].sum()) for name in parameters)
        total = sum(parameter.numel() for parameter in parameters.values())
        packed = places_bytes(count, total, indexed) < 8 * count
        for chosen, bits in _grouped(parameters, mask, bucket):
            own = {name: (values or parameters)[name].detach().to(p.device) for name, p in chosen}
            buckets = []
            for parts in _split(chosen, bucket):
                places = Places.of(join(parts, bits), packed=packed)
                buckets.append(Bucket(parts, places, join(parts, own), build, reduce))
            self._groups.append(_Group([parameter for _, parameter in chosen], buckets))
            self._homes |= {name: buckets for name, _ in chosen}
        if not self._groups:
            raise ValueError("the mask selects no weight")
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(group.arrived)
            for group in self._groups
            for parameter in group.parameters
            if in_backward
        ]

    @property
    def buckets(self) -> list[Bucket]:
        """All of them."""
        return [bucket for group in self._groups for bucket in group.buckets]

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Those in which something is selected, by name."""
        return {part.name: part.parameter for bucket in self.buckets for part in bucket.parts}

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
        for group in self._groups:
            if self._shared or any(parameter.grad is not None for parameter in group.parameters):
                group.update()

    def close(self) -> None:
        """Let go of the parameters: no `backward` updates them any more."""
        for hook in self._hooks:
            hook.remove()

    def state(self) -> dict[str, Tensor]:
        """All that a training needs to go on from here, by name; tensors in use, not copies."""
        weights = {
            f"{i}.{name}": tensor
            for i, bucket in enumerate(self.buckets)
            for name, tensor in bucket.state().items()
        }
        return weights | {f"beside.{name}": tensor for name, tensor in self._beside.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave, of the same parameters and mask; else a ValueError."""
        for i, bucket in enumerate(self.buckets):
            start = f"{i}."
            own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            if "weights" not in own or own["weights"].shape != bucket.weights.shape:
                raise ValueError(f"bucket {i} is of other parameters")
            bucket.restore(own)
        for name, tensor in self._beside.items():
            tensor.copy_(tensors[f"beside.{name}"])

    def merged(self, name: str, base: Tensor) -> Tensor:
        """A parameter's tensor as trained, float32: `base` with the selected weights in place.

        `base` must have the parameter's shape. What was not selected is the base's own.
        """
        if name not in self._homes:
            return base.float()
        (like,) = {
            part.parameter for b in self._homes[name] for part in b.parts if part.name == name
        }
        result = torch.empty_like(like, dtype=torch.float32, device="cpu").copy_(base)
        for bucket in self._homes[name]:
            bucket.merge(name, in_memory_order(result, result))
        return result.contiguous()


_Named = tuple[str, nn.Parameter]


def _grouped(
    parameters: Mapping[str, nn.Parameter], mask: Mapping[str, Tensor], bucket: int
) -> Iterator[tuple[list[_Named], dict[str, Tensor]]]:
    """The parameters in which something is selected, small ones together, and their masks."""
    chosen: list[_Named] = []
    masks: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        bits = mask[name].to(parameter.device)
        if bits.shape != parameter.shape:
            raise ValueError(f"mask of {name}: {tuple(bits.shape)}, not {tuple(parameter.shape)}")
        parameter.requires_grad_(bool(bits.any()))
        if not parameter.requires_grad:
            continue
        if chosen and sum(p.numel() for _, p in chosen) + parameter.numel() > bucket:
            yield chosen, masks
            chosen, masks = [], {}
        chosen.append((name, parameter))
        masks[name] = bits
    if chosen:
        yield chosen, masks


def _split(chosen: list[_Named], bucket: int) -> Iterator[list[Part]]:
    """The parts of each bucket of a group: all of several parameters, or a piece of one."""
    if len(chosen) > 1:
        yield [Part(name, parameter, 0, parameter.numel()) for name, parameter in chosen]
        return
    ((name, parameter),) = chosen
    for start in range(0, parameter.numel(), bucket):
        yield [Part(name, parameter, start, min(start + bucket, parameter.numel()))]
