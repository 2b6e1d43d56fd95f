"""A LoRA file of ours, opened to be added to its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from erase.export.lora.metadata import FORMAT
from erase.export.lora.names import ALPHA, DOWN, UP, Naming, prefixes
from erase.tensors.low_rank import Factors
from erase.tensors.weight_files import Computed, Spec, Weights
from plumbing.errors import UsageError

_REQUIRED = ("concept", "base", "base_unet", "residual")


def is_lora(path: Path) -> bool:
    """Whether a file is a LoRA, of ours or not; one that cannot be read is a UsageError."""
    return path.is_file() and any(".lora_" in name for name in Weights([path]))


@dataclass(frozen=True)
class LoraFile:
    """A LoRA and the names of what it alters."""

    path: Path
    weights: Weights
    """The file's tensors."""
    prefixes: Mapping[str, str]
    """What its tensors' names begin with, by the diffusers name of the weight that they alter."""

    @property
    def naming(self) -> Naming:
        """Whose names its tensors have."""
        return "kohya" if self.weights.metadata["expunge.naming"] == "kohya" else "diffusers"

    def told(self, key: str) -> str:
        """What the file tells of itself under `expunge.` and a key that every LoRA of ours has."""
        return self.weights.metadata[f"expunge.{key}"]

    def change(self, name: str) -> Tensor:
        """What it adds to a weight that it alters, float32 in the weight's shape."""
        factors = self.factors(name)
        kohya = self.naming == "kohya"
        alpha = float(self.weights[self.prefixes[name] + ALPHA]) if kohya else factors.rank
        return factors.product(alpha / factors.rank)

    def factors(self, name: str) -> Factors:
        """What it has for a weight that it alters, as stored; in kohya's files without alpha."""
        up, down = (self.prefixes[name] + end[self.naming] for end in (UP, DOWN))
        return Factors(self.weights[up], self.weights[down])


def read_lora(path: Path) -> Weights:
    """Open a LoRA that `expunge export` wrote; any other file is a UsageError."""
    weights = Weights([path])
    told = weights.metadata
    if told.get("expunge.format") != "lora" or "expunge.base_unet" not in told:
        raise UsageError(
            f"{path}: a LoRA that does not tell its base, so not of `expunge export`; load it in "
            "your interface, or with load_lora_weights and fuse_lora of diffusers"
        )
    lacking = [key for key in _REQUIRED if f"expunge.{key}" not in told]
    if told.get("expunge.version") != FORMAT or told.get("expunge.naming") not in DOWN or lacking:
        raise UsageError(f"{path}: no LoRA of this version's format; export it anew")
    return weights


def bind_lora(
    path: Path, weights: Weights, specs: Mapping[str, Spec], config: Mapping[str, Any]
) -> LoraFile:
    """Find what an opened LoRA alters of a UNet of these specs; a misfit is a UsageError."""
    naming: Naming = "kohya" if weights.metadata["expunge.naming"] == "kohya" else "diffusers"
    layers = [name for name, spec in specs.items() if len(spec.shape) in (2, 4)]
    known = prefixes(naming, layers, config)
    own = {name: p for name, p in known.items() if p + UP[naming] in weights.specs}
    ends = (UP[naming], DOWN[naming], *([ALPHA] if naming == "kohya" else []))
    expected = {prefix + end for prefix in own.values() for end in ends}
    strangers = sorted(expected ^ weights.specs.keys())
    if strangers or not own:
        raise UsageError(f"{path}: {(strangers or ['no layer'])[0]} does not fit; export it anew")
    for name, prefix in own.items():
        up, down = (weights.specs[prefix + end].shape for end in ends[:2])
        fits = 0 not in up and (*up[:1], *down[1:]) == specs[name].shape and up[1:2] == down[:1]
        if not fits or (naming == "kohya" and weights.specs[prefix + ALPHA].count != 1):
            raise UsageError(f"{path}: {prefix} does not fit the base's {name}; export it anew")
    return LoraFile(path, weights, own)


def add_loras(
    loras: Sequence[LoraFile], base: Weights | Computed, strength: float = 1.0
) -> Computed:
    """The base with all of the LoRAs in it, in float32, whatever the base is stored in.

    Half precision would round away what a LoRA adds.
    """

    def compute(name: str) -> Tensor:
        weight = base[name].float()
        changes = [lora.change(name) for lora in loras if name in lora.prefixes]
        if not changes:
            return weight
        result = (weight.double() + strength * torch.stack(changes).double().sum(0)).float()
        if not result.isfinite().all():
            raise UsageError(f"{name} is not finite with the LoRA at strength {strength:g}")
        return result

    return Computed({n: Spec(torch.float32, s.shape) for n, s in base.specs.items()}, compute)


def count_shared(loras: Sequence[LoraFile], specs: Mapping[str, Spec]) -> int:
    """How many weights more than one of the LoRAs alters: all those of layers in common."""
    names = [name for lora in loras for name in lora.prefixes]
    return sum(specs[name].count for name in set(names) if names.count(name) > 1)
