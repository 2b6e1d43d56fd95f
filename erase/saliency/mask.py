"""Weight saliency: accumulate gradients on the forget set, then freeze a mask."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from erase.saliency.mask_counts import fits, shape_told
from erase.tensors.header import check_header
from erase.tensors.kinds import kind_of
from erase.tensors.weight_files import Computed, Spec
from erase.tensors.writing import write_tensors
from plumbing.errors import UsageError

_SUM = "crc32"


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
                told = kind_of({name: Spec(t.dtype, tuple(t.shape)) for name, t in packed.items()})
                known = f"is {told.what}" if told else "not a mask file"
                raise UsageError(f"--mask {path}: {known}; make one with `expunge mask`")
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
                f"--mask {path}: its parameters are not those of this model; "
                "make a new one with `expunge mask`"
            )


def freeze_mask(bits: Mapping[str, Tensor], metadata: Mapping[str, str]) -> SaliencyMask:
    """Pack bool tensors into a mask."""
    packed = {name: pack_bits(tensor) for name, tensor in bits.items()}
    return SaliencyMask(packed, {name: tuple(b.shape) for name, b in bits.items()}, dict(metadata))


def _checksum(header: Mapping[str, str], packed: Mapping[str, Tensor]) -> str:
    """Of all that a mask's file says, but for the checksum itself."""
    total = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    for name in sorted(packed):
        total = zlib.crc32(packed[name].numpy().tobytes(), total)
    return f"{total:08x}"


def pack_bits(bits: Tensor) -> Tensor:
    """Eight bools a byte, on the CPU."""
    return torch.from_numpy(np.packbits(bits.cpu().numpy()))
