"""Exactly the k most salient weights, as many at random, or all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from erase.saliency.mask import SaliencyMask, freeze_mask, pack_bits
from plumbing.errors import UsageError

_CHUNK = 1 << 24


def top_k_mask(
    saliency: Mapping[str, Tensor],
    density: float,
    metadata: Mapping[str, str],
    *,
    sample: int = 1 << 20,
) -> SaliencyMask:
    """Select the round(density * N) most salient of all N weights together.

    The ranking is global, over all parameters at once; of equal saliencies the first in position
    (by the parameters' order, then by index) are taken, so the count is exact and masks nest.
    How many weights are in the `sample` that is looked at first decides the time alone.
    """
    flat = {name: tensor.flatten() for name, tensor in saliency.items()}
    kept = round(density * sum(tensor.numel() for tensor in flat.values()))
    if kept == 0:
        raise UsageError(f"--density {density}: selects none of the weights; raise it")
    threshold, ties = _kth_largest(list(flat.values()), kept, sample)
    packed = {}
    for name, tensor in flat.items():
        chosen = tensor > threshold
        if ties:
            equal = (tensor == threshold).nonzero().flatten()[:ties]
            chosen[equal] = True
            ties -= len(equal)
        packed[name] = pack_bits(chosen)
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


def _kth_largest(tensors: list[Tensor], k: int, size: int) -> tuple[float, int]:
    """The k-th largest of many float32 values, and how many equal to it are among the k.

    A sample tells between which two values it must be; counting says whether it is, and only the
    few values between the two are sorted. Exact, with neither a sort nor a copy of them all.
    """
    total = sum(tensor.numel() for tensor in tensors)
    stride = max(1, total // size)
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
