"""Selecting a mask from accumulated gradients: ours against the official double argsort.

python -m benchmarks.mask

Random saliencies in the shapes of SD 1.5's UNet: a tenth of its 860 million weights for both, where
the masks are compared bit by bit, and all of them for ours alone (two argsorts of all need 20 GB).
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
import torch
import tyro
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.configs import CONFIGS
from benchmarks.machine import machine
from benchmarks.reference import reference_mask
from erase.saliency.mask import SaliencyMask, freeze_mask
from erase.saliency.selection import top_k_mask
from plumbing.whole_files import replace_file

Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    """Flags."""

    density: float = 0.5
    """Share of the weights to select."""
    out: Path = Path("runs/bench")
    """Folder of the table."""


def main(options: Options) -> None:
    """Print and write seconds, memory beyond the gradients, and the size of the file."""
    shapes = _shapes()
    record = {
        "benchmark": "mask",
        "density": options.density,
        "machine": machine(),
        "a tenth": _both(_saliency(shapes, 0.1), options.density),
        "all": _ours(_saliency(shapes, 1), options.density),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / "mask.json", (json.dumps(record, indent=2) + "\n").encode())
    print(json.dumps(record, indent=2))


def _both(saliency: dict[str, Tensor], density: float) -> dict[str, object]:
    ours, quick, quick_gb = _measured(lambda: top_k_mask(saliency, density, {}))
    theirs, slow, slow_gb = _measured(lambda: reference_mask(saliency, density))
    reference = freeze_mask({name: bits.bool() for name, bits in theirs.items()}, {})
    return {
        "weights": ours.total,
        "ours_s": round(quick, 3),
        "ours_gb_beyond": quick_gb,
        "argsort_s": round(slow, 3),
        "argsort_gb_beyond": slow_gb,
        "ratio": round(slow / quick, 1),
        "same_mask": all(torch.equal(ours.packed[n], reference.packed[n]) for n in saliency),
    }


def _ours(saliency: dict[str, Tensor], density: float) -> dict[str, object]:
    mask, seconds, beyond = _measured(lambda: top_k_mask(saliency, density, {}))
    return {
        "weights": mask.total,
        "ours_s": round(seconds, 3),
        "ours_gb_beyond": beyond,
        "kept_exactly": mask.kept == round(density * mask.total),
        "file_mb": _file_size(mask),
    }


def _shapes() -> dict[str, torch.Size]:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**CONFIGS["sd15"])
    return {name: parameter.shape for name, parameter in unet.named_parameters()}


def _saliency(shapes: dict[str, torch.Size], share: float) -> dict[str, Tensor]:
    """Absolute values of Gaussian noise, a share of each tensor's weights."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(max(1, round(share * shape.numel())), generator=generator).abs_()
        for name, shape in shapes.items()
    }


def _measured(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """The result, the seconds it took, and gigabytes of memory above those before."""
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    done.set()
    thread.join()
    return result, seconds, round((peak - before) / 1e9, 2)


def _file_size(mask: SaliencyMask) -> float:
    with tempfile.TemporaryDirectory() as folder:
        mask.save(Path(folder) / "mask.safetensors")
        return round((Path(folder) / "mask.safetensors").stat().st_size / 1e6, 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
