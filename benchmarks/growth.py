"""How the bill grows: with concepts, images, image size, density and processes; passes and memory.

    python -m benchmarks.growth [--axes concepts images size density processes]

A pass is one row through the UNet, a backward pass counts 2; passes depend on no machine. `told` is
what `expunge erase --dry-run` says before, `taken` what run.json says after the same small erasure
of the miniature: the two are to be equal but for what is said of processes, each of which looks
after its training's drift by itself. Size and density are of training steps of an SD-shaped UNet
of 215 M random weights, 1 + 1 rows: the arithmetic of a pass as torch counts it, and memory. Each
point is kept: the same command goes on. Some twenty minutes beside other work; a plot an axis.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks import growth_points as measure
from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, to_png, write_results
from benchmarks.growth_points import Point
from benchmarks.machine import machine
from erase.run_folder.folder import write_json
from plumbing.whole_files import replace_file

Axis = Literal["concepts", "images", "size", "density", "processes"]


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    axes: tuple[Axis, ...] = ("concepts", "images", "size", "density", "processes")
    """What grows."""


@dataclass(frozen=True)
class Growth:
    """One axis: its points, what is measured at each, and what of that is plotted."""

    label: str
    points: tuple[float, ...]
    measure: Callable[[float, Path], Point]
    """Of a point, with a folder of its own."""
    left: tuple[str, ...]
    """Columns of the left plot; the right one is of memory."""
    unit: str = "passes"
    """Of the left plot."""


GROWTHS: dict[Axis, Growth] = {
    "concepts": Growth(
        "concepts",
        (1, 10, 30),
        lambda count, out: measure.of_concepts(int(count), out),
        ("in all", "in all, sets and steps for each"),
    ),
    "images": Growth(
        "images in either set",
        (100, 400, 8000),
        lambda count, out: measure.of_images(int(count), out),
        ("passes: sets", "mask", "train"),
    ),
    "size": Growth(
        "side of an image, pixels",
        (256, 512, 768),
        lambda side, _: measure.of_size(int(side)),
        ("TFLOP a pass",),
        "TFLOP",
    ),
    "density": Growth(
        "density", (0.1, 0.5, 1.0), lambda share, _: measure.of_density(share), ("GB told",), "GB"
    ),
    "processes": Growth(
        "processes",
        (1, 2, 4, 8),
        lambda count, out: measure.of_processes(int(count), out),
        ("sets, %", "a step, %", "quick attacks, %", "all attacks, three times, %"),
        "the busiest one's share, %",
    ),
}


def main(options: Options) -> None:
    """Measure what is not there yet; print, and write growth.json, growth.md and a plot an axis."""
    markdown, record = f"{machine()}\n\n", {}
    for axis in options.axes:
        growth, found = GROWTHS[axis], _measure(axis, options.out / "growth")
        record[axis] = found
        columns = list(dict.fromkeys(name for point in found for name in point if name != "point"))
        rows = [
            [f"{p['point']:,.4g}", *(shown(p[c]) if c in p else "" for c in columns)] for p in found
        ]
        markdown += table([growth.label, *columns], rows) + "\n"
        replace_file(options.out / f"growth-{axis}.png", _draw(growth, found))
    write_results(options, "growth", record, markdown)
    sys.stdout.write(markdown)


def shown(value: float) -> str:
    """Whole numbers as they are, others by three digits."""
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"


def _measure(axis: Axis, out: Path) -> list[Point]:
    found, growth = [], GROWTHS[axis]
    for point in tqdm(growth.points, desc=axis, unit="point"):
        folder = out / f"{axis}-{point:g}"
        file = Path(f"{folder}.json")
        if not file.is_file():
            out.mkdir(parents=True, exist_ok=True)
            write_json(file, {"point": point, **growth.measure(point, folder)})
        found.append(json.loads(file.read_text(encoding="utf-8")))
    return found


def _draw(growth: Growth, found: list[Point]) -> bytes:
    """What grows on the left, peak memory on the right where it was measured; a PNG."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, memory = figure.subplots(1, 2)
    places = [point["point"] for point in found]
    for column in growth.left:
        left.plot(places, [point[column] for point in found], marker="o", label=column)
    run = [point for point in found if "peak, GB" in point]
    peaks = [point["peak, GB"] for point in run]
    memory.plot([point["point"] for point in run], peaks, marker="o", color="grey")
    left.set(xlabel=growth.label, ylabel=growth.unit, xlim=(0, None), ylim=(0, None))
    memory.set(xlabel=growth.label, ylabel="peak memory, GB", xlim=(0, None), ylim=(0, None))
    left.legend(frameon=False)
    for axes in (left, memory):
        axes.grid(alpha=0.3)
    return to_png(figure)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
