"""What an erasure changed as one small file: apply it to its base, or take it back, by the bit.

For each parameter that changed: where (`bits:NAME`, one bit a weight, or `index:NAME`, whichever
is smaller) and how (`xor:NAME`: the bit pattern of the weight before, XOR the one after).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from erase.saliency.mask import SaliencyMask, freeze_mask
from erase.tensors.bits import INTEGERS, bit_pattern, blend
from erase.tensors.kinds import kind_of
from erase.tensors.weight_files import Computed, Spec, Weights
from erase.tensors.writing import write_checked
from plumbing.errors import UsageError

FORMAT = "1"
MIXED = "2"
"""Of a base of several types: who knows the first alone would write all of it in one."""


def encode(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """How `after` differs from `before`, both of one type and shape; {} if it does not.

    xor [K] integers of the weights' width, and bits uint8 [ceil(N/8)] or index uint16 or int32 [K]:
    K of the N weights differ.
    """
    difference = bit_pattern(before) ^ bit_pattern(after)
    places = difference.nonzero().flatten()
    if not len(places):
        return {}
    count = difference.numel()
    index = places.to(torch.uint16 if count <= 1 << 16 else torch.int32)
    where = {"index": index}
    if index.numel() * index.dtype.itemsize > -(-count // 8):
        where = {"bits": freeze_mask({"": difference != 0}, {}).packed[""]}
    return {**where, "xor": difference[places]}


@dataclass(frozen=True)
class Delta:
    """A delta file, opened."""

    path: Path
    weights: Weights
    """The tensors of the file, under their prefixed names."""
    specs: Mapping[str, Spec]
    """Type and shape of every parameter that it changes."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file tells of itself, such as `expunge.concept` and `expunge.base_unet`."""
        return self.weights.metadata

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights that it changes."""
        return _floating(self.metadata["expunge.dtype"])

    def base_dtype(self, name: str = "") -> torch.dtype:
        """The type in which the base's files have a parameter, changed or not; "": the usual."""
        told = self.metadata.get(f"base_dtype:{name}", self.metadata["expunge.base_dtype"])
        return _floating(told)

    @property
    def base_dtypes(self) -> str:
        """All of them, for people."""
        told = {v for k, v in self.metadata.items() if k.startswith("base_dtype:")}
        return ", ".join(sorted({*told, self.metadata["expunge.base_dtype"]}))

    def places(self, name: str) -> Tensor:
        """Positions of the changed weights of a parameter, ascending int64 [K]; [0] of others."""
        if name not in self.specs:
            return torch.empty(0, dtype=torch.int64)
        count = self.specs[name].count
        if f"index:{name}" in self.weights:
            places = self.weights[f"index:{name}"].long()
        else:
            packed = self.weights[f"bits:{name}"]
            padded = SaliencyMask({name: packed}, {name: (8 * len(packed),)}, {})
            places = padded.bits(name).nonzero().flatten()
        sound = places.ndim == 1 and 0 < len(places) == self.weights.specs[f"xor:{name}"].count
        if not sound or (places.diff() < 1).any() or places[0] < 0 or places[-1] >= count:
            raise UsageError(f"{self.path}: the places of {name} are not sound; get it anew")
        return places

    def flipped(self, name: str, tensor: Tensor) -> Tensor:
        """The parameter with its bits flipped: the base's becomes the erased one, and back.

        A parameter of another shape than the delta's is a UsageError.
        """
        if name in self.specs and self.specs[name].shape != tuple(tensor.shape):
            raise UsageError(f"{self.path}: of a model whose {name} has another shape; give that")
        pattern = bit_pattern(tensor).clone()
        places = self.places(name)
        if len(places):
            pattern[places] ^= self.weights[f"xor:{name}"]
        return pattern.view(tensor.dtype).view(tensor.shape)


def read_delta(path: Path) -> Delta:
    """Open a delta; anything else is a UsageError."""
    if not path.exists():
        raise UsageError(f"{path}: no such file; make one with `expunge export --format delta`")
    weights = Weights([path])
    header = weights.metadata
    if header.get("expunge.format") != "delta":
        told = kind_of(weights.specs, header)
        known = f"is {told.what}" if told else "is not a delta"
        raise UsageError(f"{path}: {known}; make a delta with `expunge export --format delta`")
    if header.get("expunge.version") not in (FORMAT, MIXED):
        raise UsageError(f"{path}: no delta of this format; export it anew, or get a newer expunge")
    try:
        dtype = _floating(header["expunge.dtype"])
        specs = {}
        for key in header:
            if key.startswith("shape:"):
                sizes = header[key].split(",") if header[key] else []
                specs[key[6:]] = Spec(dtype, tuple(map(int, sizes)))
        delta = Delta(path, weights, specs)
        _require_sound(delta)
    except (KeyError, ValueError, AttributeError) as error:
        raise UsageError(f"{path}: not a sound delta ({error!r}); get it anew") from error
    return delta


def _floating(told: str) -> torch.dtype:
    """A type of weights by its name; ValueError for what is none."""
    dtype = getattr(torch, told, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"no type of weights: {told[:40]!r}")
    return dtype


def _require_sound(delta: Delta) -> None:
    """Raise KeyError, ValueError or AttributeError unless the file has all that it must."""
    specs = delta.weights.specs
    for key in ("concept", "base", "base_unet", "erased_unet"):
        delta.metadata[f"expunge.{key}"]
    pattern = INTEGERS[delta.dtype.itemsize]
    for name in ("", *(key[11:] for key in delta.metadata if key.startswith("base_dtype:"))):
        delta.base_dtype(name)
    expected = {f"xor:{name}" for name in delta.specs}
    for name in delta.specs:
        where = specs.keys() & {f"index:{name}", f"bits:{name}"}
        if len(where) != 1 or specs[f"xor:{name}"].dtype != pattern:
            raise ValueError(name)
        expected |= where
    if expected != specs.keys():
        raise ValueError(min(expected ^ specs.keys()))


def write_delta(
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    path: Path,
    metadata: Mapping[str, str],
) -> Delta:
    """Write a delta between weights of the same names, types and shapes, and read it again.

    Nothing changed is a UsageError, as is a file that reads back otherwise. `path` must not exist.
    """
    tensors: dict[str, Tensor] = {}
    shapes = {}
    for name in sorted(after):
        found = encode(before[name], after[name])
        tensors |= {f"{kind}:{name}": tensor for kind, tensor in found.items()}
        if found:
            shapes[f"shape:{name}"] = ",".join(map(str, after[name].shape))
    if not shapes:
        raise UsageError("--format delta: nothing differs from the base, so there is no delta")
    mixed = any(key.startswith("base_dtype:") for key in metadata)
    changed = sum(tensor.numel() for name, tensor in tensors.items() if name.startswith("xor:"))
    header = {
        "expunge.format": "delta",
        "expunge.version": MIXED if mixed else FORMAT,
        "expunge.changed": str(changed),
        **metadata,
        **shapes,
    }
    specs = {name: Spec(t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    write_checked(path, Computed(specs, tensors.__getitem__), header)
    return read_delta(path)


def apply_deltas(deltas: Sequence[Delta], name: str, base: Tensor, strength: float) -> Tensor:
    """One parameter of the base with every delta applied, in the deltas' type.

    Where several change a weight, the last one's value stands.
    """
    result = base.flatten().clone()
    for delta in deltas:
        places = delta.places(name)
        erased = blend(base, delta.flipped(name, base), strength).to(base.dtype)
        result[places] = erased.flatten()[places]
    return result.view(base.shape)


def undo_deltas(deltas: Sequence[Delta], name: str, erased: Tensor) -> Tensor:
    """One parameter of the base again, from what `apply_deltas` made of it at strength 1."""
    result, original = erased.flatten().clone(), torch.zeros(erased.numel(), dtype=torch.bool)
    for delta in reversed(deltas):
        before = delta.flipped(name, erased).flatten()
        places = delta.places(name)
        mine = places[~original[places]]
        result[mine] = before[mine]
        original[mine] = True
    return result.view(erased.shape)


def count_conflicts(deltas: Sequence[Delta]) -> int:
    """How many weights more than one of the deltas changes."""
    conflicts = 0
    for name in {name for delta in deltas for name in delta.specs}:
        places = torch.cat([delta.places(name) for delta in deltas])
        conflicts += int((places.unique(return_counts=True)[1] > 1).sum())
    return conflicts
