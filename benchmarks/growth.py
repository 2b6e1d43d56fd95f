"""How time and memory grow: with density, image size, number of images, number of concepts.

    python -m benchmarks.growth [--axes density size images concepts]

Density and size: training steps of an SD-shaped UNet of 215 M weights (1 + 1 rows, random weights);
by size, too, how long the arithmetic takes that a step cannot do without.
Images and concepts: whole erasures of the miniature, with few sampling and training steps. Each
point is a process of its own and is kept: the same command goes on. A plot an axis.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from benchmarks.apart import last_json, output
from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, to_png, write_results
from benchmarks.configs import CONFIGS
from erase.run_folder.folder import read_run, write_json
from plumbing.whole_files import replace_file

Axis = Literal["density", "size", "images", "concepts"]
CONCEPTS = (
    *("church", "dog", "outline", "fish", "cat"),
    *("castle", "banana", "guitar", "star", "key"),
)


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    axes: tuple[Axis, ...] = ("density", "size", "images", "concepts")
    """What grows."""


@dataclass(frozen=True)
class Growth:
    """One axis: its points, and what is measured at each."""

    label: str
    points: tuple[float, ...]
    measure: Callable[[float, Path], dict[str, float]]
    """Of a point, with a folder of its own: seconds of each stage, and `peak_gb`."""
    place: Callable[[float], float] = float
    """Where a point lies on the axis."""


def _step(density: float, pixels: int) -> dict[str, float]:
    """Seconds of a training step, the quickest of three."""
    flags = {"size": "medium", "variant": "ours", "steps": 4, "free": 20}
    flags |= {"density": density, "pixels": pixels}
    found = last_json("benchmarks.training", flags)
    return {"a step": found["seconds"], "peak_gb": found["peak_gb"]}


def _sized_step(pixels: int) -> dict[str, float]:
    """The same by image size, and by the arithmetic that a step of 1 + 1 rows cannot do without."""
    found = _step(0.5, pixels)
    side = pixels // 8
    with torch.device("meta"), FlopCounterMode(display=False) as counted, torch.no_grad():
        unet = UNet2DConditionModel(**CONFIGS["medium"])
        unet(torch.zeros(1, 4, side, side), torch.zeros(1).long(), torch.zeros(1, 77, 768))
    # Two rows; a forward pass each of teacher and student, and a backward pass of two.
    work = 2 * 4 * counted.get_total_flops() / 1e12
    return {"a step": found["a step"], "a TFLOP": found["a step"] / work, **found}


def _erasure(folder: Path, concepts: Sequence[str], images: int, steps: int) -> dict[str, float]:
    """Stages of an erasure of the miniature by as many images of either set."""
    words = ["erase", *concepts, "--out", str(folder), "--inference-steps", "2", "--no-guard"]
    words += ["--forget-images", str(images), "--retain-images", str(images)]
    output("erase", *words, "--steps", str(steps))
    run = read_run(folder)
    return {**run.seconds, "peak_gb": (run.peak_memory_mb or 0) / 1e3}


GROWTHS: dict[Axis, Growth] = {
    "density": Growth("density", (0.01, 0.1, 0.25, 0.5, 1.0), lambda share, _: _step(share, 512)),
    "size": Growth(
        "thousand pixels an image",
        (256, 384, 512, 640, 768),
        lambda side, _: _sized_step(int(side)),
        lambda side: side * side / 1e3,
    ),
    "images": Growth(
        "images in either set",
        (100, 800, 8000),
        lambda count, out: _erasure(out, CONCEPTS[:1], int(count), 20),
    ),
    "concepts": Growth(
        "concepts, each with 32 + 32 images and 10 steps",
        (1, 2, 5, 10),
        lambda n, out: _erasure(out, CONCEPTS[: int(n)], 32 * int(n), 10 * int(n)),
    ),
}


def main(options: Options) -> None:
    """Measure what is not there yet; print, and write growth.json, growth.md and a plot an axis."""
    markdown, record = "", {}
    for axis in options.axes:
        found = _measure(axis, options.out / "growth")
        record[axis] = found
        stages = [name for name in found[0] if name not in ("point", "peak_gb")]
        head = [GROWTHS[axis].label, *(f"{stage}, s" for stage in stages), "peak, GB"]
        rows = [
            [
                f"{GROWTHS[axis].place(p['point']):,.4g}",
                *(f"{p[s]:.1f}" for s in stages),
                f"{p['peak_gb']:.2f}",
            ]
            for p in found
        ]
        markdown += table(head, rows) + "\n"
        replace_file(options.out / f"growth-{axis}.png", _draw(GROWTHS[axis], stages, found))
    write_results(options, "growth", record, markdown)
    sys.stdout.write(markdown)


def _measure(axis: Axis, out: Path) -> list[dict[str, float]]:
    found, growth = [], GROWTHS[axis]
    for point in tqdm(growth.points, desc=axis, unit="point"):
        folder = out / f"{axis}-{point:g}"
        file = Path(f"{folder}.json")
        if not file.is_file():
            out.mkdir(parents=True, exist_ok=True)
            write_json(file, {"point": point, **growth.measure(point, folder)})
        found.append(json.loads(file.read_text(encoding="utf-8")))
    return found


def _draw(growth: Growth, stages: Sequence[str], found: Sequence[dict[str, float]]) -> bytes:
    """Seconds of the stages on the left, memory on the right; a PNG."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    time, memory = figure.subplots(1, 2)
    places = [growth.place(point["point"]) for point in found]
    for stage in stages:
        time.plot(places, [point[stage] for point in found], marker="o", label=stage)
    memory.plot(places, [point["peak_gb"] for point in found], marker="o", color="grey")
    time.set(xlabel=growth.label, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    memory.set(xlabel=growth.label, ylabel="peak memory, GB", xlim=(0, None), ylim=(0, None))
    time.legend(frameon=False)
    for axes in (time, memory):
        axes.grid(alpha=0.3)
    return to_png(figure)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
