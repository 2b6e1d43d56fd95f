"""Changes of low rank that are trained instead of weights: a LoRA on layers of a denoiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from erase.tensors.low_rank import Factors
from erase.training.masked_optimizer import MaskedOptimizer

_UP, _DOWN = ".up", ".down"
"""What a factor's name ends in, after its weight's."""


@dataclass(frozen=True)
class LowRank:
    """W + alpha / r * up @ down, with up [out, r] and down [r, in], or as convolutions."""

    rank: int
    """r; less where a layer has no more inputs or outputs."""
    alpha: float

    @staticmethod
    def layers(denoiser: Any, parameters: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
        """Those of some parameters that are weights of linear and plain convolution layers."""
        return {name: p for name, p in parameters.items() if _is_layer(denoiser, name)}

    def empty(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The factors by name, without content."""
        found = {}
        for name, weight in parameters.items():
            rank = min(self.rank, *weight.shape[:2])
            ones = (1,) * (weight.ndim - 2)
            found[name + _DOWN] = torch.empty((rank, *weight.shape[1:]), device="meta")
            found[name + _UP] = torch.empty((len(weight), rank, *ones), device="meta")
        return found

    def factors(self, optimizer: MaskedOptimizer) -> dict[str, Factors]:
        """What an optimiser of such factors has, by the weight's name; their product is all."""
        trained = {n: p.detach().float().cpu() for n, p in optimizer.parameters.items()}
        names = [name.removesuffix(_UP) for name in trained if name.endswith(_UP)]
        pairs = {name: (trained[name + _UP], trained[name + _DOWN]) for name in names}
        return {n: Factors(self._scale(down) * up, down) for n, (up, down) in pairs.items()}

    def _scale(self, down: Tensor) -> float:
        return self.alpha / len(down)


class Adapter:
    """A LoRA on layers of a denoiser, which adds to what they say within a `with`."""

    def __init__(
        self, denoiser: Any, weights: Mapping[str, nn.Parameter], low_rank: LowRank, seed: int
    ) -> None:
        """On the layers of these weights, by name; it changes nothing yet, as all `up` are 0."""
        self._denoiser, self._names, self._low_rank = denoiser, list(weights), low_rank
        self._generator = torch.Generator().manual_seed(seed)
        self._hooks: list[Any] = []
        self._on = True
        self.parameters: dict[str, nn.Parameter] = {
            name: nn.Parameter(self._begun(name, factor).to(denoiser.device))
            for name, factor in low_rank.empty(weights).items()
        }
        """float32, by name."""

    @property
    def all_selected(self) -> dict[str, Tensor]:
        """A mask of all of them."""
        return {n: torch.ones_like(p, dtype=torch.bool) for n, p in self.parameters.items()}

    def __enter__(self) -> Adapter:
        """Add what it says to what the layers say."""
        for name in self._names:
            layer = self._denoiser.get_submodule(_module(name))
            factors = self.parameters[name + _DOWN], self.parameters[name + _UP]
            self._hooks.append(layer.register_forward_hook(partial(self._add, factors)))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the denoiser as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Let the denoiser be the original for a while."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def _begun(self, name: str, factor: Tensor) -> Tensor:
        """As LoRAs begin: `down` as torch begins a layer, `up` with 0."""
        begun = torch.zeros(factor.shape)
        if name.endswith(_DOWN):
            nn.init.kaiming_uniform_(begun, a=5**0.5, generator=self._generator)
        return begun

    def _add(
        self, factors: tuple[Tensor, Tensor], layer: Any, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor | None:
        if not self._on:
            return None
        down, up = (factor.to(inputs[0].dtype) for factor in factors)
        scale = self._low_rank._scale(down)
        if isinstance(layer, nn.Linear):
            return output + scale * F.linear(F.linear(inputs[0], down), up)
        inner = F.conv2d(inputs[0], down, stride=layer.stride, padding=layer.padding)
        return output + scale * F.conv2d(inner, up)


def _is_layer(denoiser: Any, name: str) -> bool:
    if not name.endswith(".weight"):
        return False
    layer = denoiser.get_submodule(_module(name))
    plain = isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.dilation == (1, 1)
    return plain or isinstance(layer, nn.Linear)


def _module(name: str) -> str:
    return name.removesuffix(".weight")
