"""Weight saliency: accumulate gradients on the forget set, then freeze a mask."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from erase.mask_counts import fits, shape_told
from erase.tensor_file import write_tensors
from erase.tensor_header import check_header
from erase.weights import Computed, Spec
from plumbing.errors import UsageError

Batch = TypeVar("Batch")
_CHUNK = 1 << 24
_SAMPLE = 1 << 20
_SUM = "crc32"


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


@dataclass(frozen=True)
class SaliencyMask:
    """Which weights may be updated: one bit a weight, under each parameter's name."""

    packed: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    """What the mask was made from: density, loss, seed, base digest, train_method …"""

    def bits(self, name: str) -> Tensor:
        """The bool tensor of one parameter, in its shape."""
        shape = torch.Size(self.shapes[name])
        flat = np.unpackbits(self.packed[name].numpy(), count=shape.numel())
        return torch.from_numpy(flat).view(torch.bool).view(shape)

    def unpacked(self) -> dict[str, Tensor]:
        """All bool tensors by name."""
        return {name: self.bits(name) for name in self.shapes}

    def by_name(self) -> Mapping[str, Tensor]:
        """The bool tensors by name, each unpacked when it is asked for."""
        specs = {name: Spec(torch.bool, tuple(shape)) for name, shape in self.shapes.items()}
        return Computed(specs, self.bits)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Selected and total weights by parameter name."""
        return {
            name: (int(self.bits(name).sum()), torch.Size(shape).numel())
            for name, shape in self.shapes.items()
        }

    @property
    def kept(self) -> int:
        """How many weights are selected."""
        return sum(kept for kept, _ in self.counts().values())

    @property
    def total(self) -> int:
        """How many weights the mask is about."""
        return sum(torch.Size(shape).numel() for shape in self.shapes.values())

    def save(self, path: Path) -> None:
        """Write a safetensors file: 1 bit a weight; shapes, metadata and a checksum ahead."""
        shapes = {f"shape:{name}": ",".join(map(str, s)) for name, s in self.shapes.items()}
        header = {**shapes, **self.metadata}
        write_tensors(path, self.packed, {**header, _SUM: _checksum(header, self.packed)})

    @staticmethod
    def load(path: Path, *, checked: bool = False) -> SaliencyMask:
        """Read what `save` wrote; anything else, or a file that is damaged, is a UsageError.

        `checked` refuses a file without a checksum, too.
        """
        try:
            check_header(path)
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError) as error:
            raise UsageError(f"--mask {path}: not a readable mask ({error})") from error
        told = header.pop(_SUM, None)
        shapes = {}
        for name, tensor in packed.items():
            shape = shape_told(header, name)
            if shape is None or tensor.dtype != torch.uint8 or not fits(tuple(tensor.shape), shape):
                raise UsageError(f"--mask {path}: not a mask file; make one with `expunge mask`")
            shapes[name] = shape
        if (checked or told is not None) and told != _checksum(header, packed):
            raise UsageError(
                f"--mask {path}: damaged, its checksum is wrong; make it again with `expunge mask`"
            )
        rest = {key: value for key, value in header.items() if not key.startswith("shape:")}
        return SaliencyMask(packed, shapes, rest)

    def require(self, path: Path, digest: str, parameters: Mapping[str, nn.Parameter]) -> None:
        """Refuse, as a UsageError, a mask of another base model or of other parameters."""
        if self.metadata.get("base") != digest:
            raise UsageError(
                f"--mask {path}: made for another model (digest "
                f"{self.metadata.get('base', '')[:12]}, not {digest[:12]}); "
                "make a new one with `expunge mask`"
            )
        if dict(self.shapes) != {name: tuple(p.shape) for name, p in parameters.items()}:
            raise UsageError(
                f"--mask {path}: its parameters are not those of this UNet; "
                "make a new one with `expunge mask`"
            )


def freeze_mask(bits: Mapping[str, Tensor], metadata: Mapping[str, str]) -> SaliencyMask:
    """Pack bool tensors into a mask."""
    packed = {name: _pack(tensor) for name, tensor in bits.items()}
    return SaliencyMask(packed, {name: tuple(b.shape) for name, b in bits.items()}, dict(metadata))


def top_k_mask(
    saliency: Mapping[str, Tensor], density: float, metadata: Mapping[str, str]
) -> SaliencyMask:
    """Select the round(density * N) most salient of all N weights together.

    The ranking is global, over all parameters at once; of equal saliencies the first in position
    (by the parameters' order, then by index) are taken, so the count is exact and masks nest.
    """
    flat = {name: tensor.flatten() for name, tensor in saliency.items()}
    kept = round(density * sum(tensor.numel() for tensor in flat.values()))
    if kept == 0:
        raise UsageError(f"--density {density}: selects none of the weights; raise it")
    threshold, ties = _kth_largest(list(flat.values()), kept)
    packed = {}
    for name, tensor in flat.items():
        chosen = tensor > threshold
        if ties:
            equal = (tensor == threshold).nonzero().flatten()[:ties]
            chosen[equal] = True
            ties -= len(equal)
        packed[name] = _pack(chosen)
    shapes = {name: tuple(tensor.shape) for name, tensor in saliency.items()}
    return SaliencyMask(packed, shapes, dict(metadata))


def random_mask(
    parameters: Mapping[str, nn.Parameter], density: float, seed: int, metadata: Mapping[str, str]
) -> SaliencyMask:
    """As many weights as `top_k_mask` takes, drawn at random: the control of SalUn's mask."""
    generator = torch.Generator().manual_seed(seed)
    noise = {name: torch.rand(p.shape, generator=generator) for name, p in parameters.items()}
    return top_k_mask(noise, density, metadata)


def full_mask(parameters: Mapping[str, nn.Parameter], metadata: Mapping[str, str]) -> SaliencyMask:
    """Every weight: plain fine-tuning."""
    bits = {name: torch.ones(p.shape, dtype=torch.bool) for name, p in parameters.items()}
    return freeze_mask(bits, metadata)


def _kth_largest(tensors: list[Tensor], k: int) -> tuple[float, int]:
    """The k-th largest of many float32 values, and how many equal to it are among the k.

    A sample tells between which two values it must be; counting says whether it is, and only the
    few values between the two are sorted. Exact, with neither a sort nor a copy of them all.
    """
    total = sum(tensor.numel() for tensor in tensors)
    stride = max(1, total // _SAMPLE)
    sample = torch.cat([tensor[::stride] for tensor in tensors]).sort(descending=True).values
    place, margin = k * len(sample) // total, max(2, len(sample) // 500)
    while True:
        high = sample[max(0, place - margin)] if place > margin else torch.tensor(torch.inf)
        low = sample[place + margin] if place + margin < len(sample) else torch.tensor(-torch.inf)
        found = _between(tensors, k, float(low), float(high))
        if found:
            return found
        margin *= 8


def _between(tensors: list[Tensor], k: int, low: float, high: float) -> tuple[float, int] | None:
    """The k-th largest and its rank among its equals, if it is from `low` to `high`."""
    chunks = [chunk for tensor in tensors for chunk in tensor.split(_CHUNK)]
    above, to_high, to_low = (
        sum(int(test(chunk).count_nonzero()) for chunk in chunks)
        for test in (lambda x: x > high, lambda x: x >= high, lambda x: x >= low)
    )
    if not above < k <= to_low:
        return None
    if k <= to_high:
        return high, k - above
    inside = torch.cat([chunk[(chunk > low) & (chunk < high)] for chunk in chunks])
    rank = k - to_high
    if rank > len(inside):
        return low, rank - len(inside)
    value = inside.kthvalue(len(inside) - rank + 1).values
    return float(value), rank - int((inside > value).count_nonzero())


def _checksum(header: Mapping[str, str], packed: Mapping[str, Tensor]) -> str:
    """Of all that a mask's file says, but for the checksum itself."""
    total = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for name in sorted(packed):
        total = zlib.crc32(packed[name].numpy().tobytes(), total)
    return f"{total:08x}"


def _pack(bits: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(bits.cpu().numpy()))
