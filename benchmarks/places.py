"""What it takes a step to know which weights are selected: bits unpacked, or indices kept.

    python -m benchmarks.places [--device cuda] [--millions 215]

The places of a random mask in buckets as a training has them (erase/training/buckets.py). In each
round every bucket's indices are found, its gradient is gathered and its weights are written back,
in turns by every way: bits unpacked by numpy on the CPU, bits unpacked by torch on the device, and
indices kept there. `stored` lies on the device, `moved` is copied to a GPU in a step.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import trange

from benchmarks.clock import time_each
from benchmarks.common import table
from benchmarks.machine import device_name, machine
from erase.models.devices import resolve_device
from erase.training.buckets import Places, unpack
from erase.training.masked_optimizer import BUCKET
from plumbing.whole_files import replace_file

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Options:
    """Flags."""

    millions: float = 215
    """Weights; of SD 1.5 859.5."""
    density: float = 0.5
    """Share of them that is selected."""
    device: str = "cpu"
    """As `expunge erase --device`."""
    rounds: int = 4
    """Of each way; the quickest counts, the first one warms up."""
    out: Path = Path("runs/bench")
    """Folder of the table."""


def main(options: Options) -> None:
    """Time the ways; print and write places.md."""
    device = resolve_device(options.device)
    buckets = [_Bucket(n, options.density, device) for n in range(_count(options))]
    ways = ("numpy", "torch", "kept")
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in trange(options.rounds, unit="round"):
        for way in ways:
            times[way] += time_each(device, lambda way=way: [b.step(way) for b in buckets], 1)
    scale = options.millions * 1e6 / (len(buckets) * BUCKET)
    selected = sum(b.places.selected for b in buckets) * scale
    bits, indices = options.millions * 1e6 / 8, 8 * selected
    on_card = device.type != "cpu"
    names = {
        "numpy": ("bits on the CPU, unpacked by numpy", 0 if on_card else bits, indices * on_card),
        "torch": ("bits on the device, unpacked by torch", bits, 0),
        "kept": ("indices kept on the device", indices, 0),
    }
    rows = [
        [name, f"{min(times[way][1:]) * scale:.3f}", f"{stored / 1e9:.2f}", f"{moved / 1e9:.2f}"]
        for way, (name, stored, moved) in names.items()
    ]
    head = ["", "s a step, gathering and writing included", "GB stored", "GB moved"]
    told = f"{options.millions:g} M weights, {selected:,.0f} selected"
    text = f"{device_name(device)}; {machine()}; {told}\n\n{table(head, rows)}"
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / "places.md", text.encode())
    sys.stdout.write(text)


def _count(options: Options) -> int:
    return max(1, round(options.millions * 1e6 / BUCKET))


class _Bucket:
    """Some millions of weights in bfloat16, and which of them are selected."""

    def __init__(self, number: int, density: float, device: torch.device) -> None:
        drawn = torch.rand(BUCKET, generator=torch.Generator().manual_seed(number)) < density
        self._device = device
        self.places = Places.of(drawn, packed=True)
        self._bits = self.places.stored.to(device)
        self._kept = self.places.indices(CPU).to(device)
        self._flat = torch.zeros(BUCKET, dtype=torch.bfloat16, device=device)

    def step(self, way: str) -> None:
        """Find the places, gather what is there, write it back."""
        indices = self._indices(way)
        self._flat.index_copy_(0, indices, torch.take(self._flat, indices))

    def _indices(self, way: str) -> Tensor:
        if way == "kept":
            return self._kept
        if way == "torch":
            return unpack(self._bits, self.places.total, self.places.selected)
        return self.places.indices(CPU).to(self._device)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
