"""An erasure as a LoRA: what changed in each linear and convolution layer, in low rank.

It can be loaded by any tool that takes LoRAs, and is not exact: the residual says how far off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erase.export.lora.names import ALPHA, DOWN, UP, Naming, prefixes
from erase.tensors.low_rank import Factors, factorise
from erase.tensors.weight_files import Computed, Spec, Weights, require_alike
from erase.tensors.writing import write_checked
from plumbing.errors import UsageError

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Change:
    """What an erasure changed, `strength` times."""

    base: Weights | Computed
    erased: Weights
    strength: float

    def __post_init__(self) -> None:
        """Refuse, as a UsageError, a base of other names or shapes."""
        require_alike(self.base.specs, self.erased.specs, self.erased.files[0])

    def of(self, name: str) -> Tensor:
        """One parameter's change, float32 in its shape; not finite is a UsageError."""
        change = self.strength * (self.erased[name].float() - self.base[name].float())
        if not change.isfinite().all():
            raise UsageError(f"the change of {name} is not finite; see `expunge verify`")
        return change

    @property
    def layers(self) -> list[str]:
        """The weights that a LoRA can alter: those of linear and convolution layers."""
        return [name for name in self.erased if len(self.erased.specs[name].shape) in (2, 4)]


@dataclass(frozen=True)
class LeftOut:
    """Changes that a LoRA cannot carry: those of biases and norms."""

    names: tuple[str, ...]
    weights: int
    energy: float
    """Their share of the whole change's squared Frobenius norm."""


@dataclass(frozen=True)
class Lora:
    """Factors of every layer that changed, as a file stores them."""

    naming: Naming
    factors: Mapping[str, Factors]
    """By the weight's diffusers name."""
    alpha: int
    """The largest rank. What a layer of rank r adds is alpha / r times its product in kohya's
    files, and the product itself in diffusers'."""
    residual: float
    """||change - what the file stores|| / ||change|| over the whole UNet."""
    worst: tuple[str, float]
    """The layer with the largest residual of its own."""
    left_out: LeftOut

    def tensors(self, config: Mapping[str, Any]) -> dict[str, Tensor]:
        """The file's tensors; `config` is the UNet's config.json."""
        found: dict[str, Tensor] = {}
        for name, prefix in prefixes(self.naming, self.factors, config).items():
            factors = self.factors[name]
            found |= {
                prefix + DOWN[self.naming]: factors.down,
                prefix + UP[self.naming]: factors.up,
            }
            if self.naming == "kohya":
                found[prefix + ALPHA] = torch.tensor(float(self.alpha))
        return found


def make_lora(
    change: Change, exact: Mapping[str, Factors], *, naming: Naming, dtype: torch.dtype
) -> Lora:
    """Store factors of a change, by the weight's name, and tell how near they come to it.

    Nothing that a LoRA could carry, or factors that `dtype` cannot hold, is a UsageError.
    """
    if not exact:
        raise UsageError(
            "--format lora: no linear or convolution layer differs from the base, so there is "
            "nothing that a LoRA could carry; use --format delta"
        )
    alpha = max(factors.rank for factors in exact.values())
    stored = {}
    for name, factors in exact.items():
        # Not alpha = r for each layer: diffusers passes over a kohya alpha of an attention layer
        # that is not the commonest one.
        scale = factors.rank / alpha if naming == "kohya" else 1.0
        stored[name] = factors.scaled(scale, dtype)
        _require_finite(name, stored[name], dtype)
    told = _Tally()
    for name in change.erased:
        scale = alpha / stored[name].rank if naming == "kohya" and name in stored else 1.0
        told.count(name, change.of(name), stored.get(name), scale)
    return Lora(naming, stored, alpha, told.residual, told.worst, told.left_out)


def factorised(
    change: Change, *, rank: int | None, energy: float | None, progress: Progress
) -> dict[str, Factors]:
    """Factors of every layer that changed; `progress` is told of each layer looked at."""
    found = {}
    for name in change.layers:
        difference = change.of(name)
        if difference.any():
            found[name] = factorise(difference, rank=rank, energy=energy)
        progress(1)
    return found


def _require_finite(name: str, factors: Factors, dtype: torch.dtype) -> None:
    if not (factors.up.isfinite().all() and factors.down.isfinite().all()):
        raise UsageError(f"{name} overflows in {str(dtype)[6:]}; try --dtype bf16 or fp32")


@dataclass
class _Tally:
    """Counts energies, squared Frobenius norms, parameter by parameter."""

    total: float = 0.0
    missed: float = 0.0
    worst: tuple[str, float] = ("", 0.0)
    others: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Weights changed and their energy, by the name of a parameter that is left out."""

    def count(self, name: str, change: Tensor, factors: Factors | None, scale: float) -> None:
        energy = _energy(change)
        self.total += energy
        if factors is None:
            self.missed += energy
            if energy:
                self.others[name] = (int(change.count_nonzero()), energy)
            return
        missed = _energy(change - factors.product(scale))
        self.missed += missed
        own = (missed / energy) ** 0.5
        if own >= self.worst[1]:
            self.worst = (name, own)

    @property
    def residual(self) -> float:
        return (self.missed / self.total) ** 0.5

    @property
    def left_out(self) -> LeftOut:
        weights = sum(count for count, _ in self.others.values())
        energy = sum(energy for _, energy in self.others.values())
        return LeftOut(tuple(self.others), weights, energy / self.total)


def _energy(tensor: Tensor) -> float:
    return float(tensor.double().square().sum())


def write_lora(
    lora: Lora, config: Mapping[str, Any], path: Path, metadata: Mapping[str, str]
) -> None:
    """Write a LoRA and read it again; a file that reads back otherwise is a UsageError.

    `path` must not exist, and is left half-written if something fails.
    """
    tensors = lora.tensors(config)
    specs = {name: Spec(t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    write_checked(path, Computed(specs, tensors.__getitem__), metadata)
