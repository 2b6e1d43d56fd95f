"""Saliency for one thing in terms of the saliency for another."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def contrast(forget: Mapping[str, Tensor], retain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """|g_f| / (|g_r| + delta) of every weight, by name: much to forget and little to retain.

    delta is the mean of |g_r| over all weights, so that a weight on which nothing depends does not
    come first.
    """
    count = sum(tensor.numel() for tensor in retain.values())
    delta = sum(float(tensor.double().sum()) for tensor in retain.values()) / count
    return {name: tensor / (retain[name] + delta) for name, tensor in forget.items()}
