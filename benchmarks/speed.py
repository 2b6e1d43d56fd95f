"""All that is claimed of time and memory, measured in one run, in one table with what was aimed at.

    python -m benchmarks.speed --out runs/bench

Some fifty minutes on two cores, which must have nothing else to do; `--parts` names fewer. Each
part writes its own results too, and is not run again while they are there; see its module for what
exactly is measured.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import tyro

from benchmarks import drawing, mask, processes, quick, training
from benchmarks.common import Options, table, write_results
from benchmarks.machine import machine

SIZES = {"miniature": "miniature, 16 + 16", "medium": "215 M, 1 + 1", "sd15": "SD 1.5, 1 + 1"}
PEAKS = {
    "training-sd15-0.5": ("density 0.5", "at most 10"),
    "training-sd15-0.5-8gb": ("density 0.5, told of 8 GB", "at most 10"),
    "training-sd15-0.1": ("density 0.1", "at most 6"),
}
Part = Literal[
    "training-miniature-0.5",
    "training-medium-0.5",
    "training-sd15-0.5",
    "training-sd15-0.5-8gb",
    "training-sd15-0.1",
    "drawing-miniature",
    "drawing-medium",
    "mask",
    "quick",
    "processes",
]
PARTS: tuple[Part, ...] = get_args(Part)
Row = tuple[str, str, str]
"""What, the aim, what was measured."""


@dataclass(frozen=True)
class SpeedOptions(Options):
    """Flags of the benchmark of time and memory."""

    parts: tuple[Part, ...] = PARTS
    """What is measured, each part by its own benchmark."""


def main(options: SpeedOptions) -> None:
    """Run what has no results yet; print all, and write speed.json and speed.md."""
    runs = _runs(options)
    rows: list[Row] = []
    for name in options.parts:
        if not (options.out / f"{name}.json").is_file():
            runs[name]()
        rows += _rows(name, _read(options.out, name))
    markdown = f"{machine()}\n\n{table(['', 'aim', 'measured'], rows)}"
    write_results(options, "speed", {"machine": machine(), "rows": rows}, markdown)
    sys.stdout.write(markdown)


def _runs(options: SpeedOptions) -> dict[Part, Callable[[], None]]:
    out = options.out
    shared = {k: v for k, v in asdict(options).items() if k != "parts"}
    # Whether two processes erase is told by fewer images: the proof is that all else is alike.
    few = shared | {"protocol": "demo"}

    def step(size: training.Size, steps: int, **told: Any) -> Callable[[], None]:
        return lambda: training.main(training.Options(out=out, size=size, steps=steps, **told))

    ours: Any = {"variants": ("ours",)}
    return {
        "training-miniature-0.5": step("miniature", 12, rounds=2),
        "training-medium-0.5": step("medium", 4),
        "training-sd15-0.5": step("sd15", 3),
        "training-sd15-0.5-8gb": step("sd15", 3, free=8, **ours),
        "training-sd15-0.1": step("sd15", 3, density=0.1, **ours),
        "drawing-miniature": lambda: drawing.main(drawing.Options(out=out)),
        "drawing-medium": lambda: drawing.main(
            drawing.Options(size="medium", out=out, batches=1, rounds=3)
        ),
        "mask": lambda: mask.main(mask.Options(out=out)),
        "quick": lambda: quick.main(quick.QuickOptions(**shared)),
        "processes": lambda: processes.main(processes.Options(**few)),
    }


def _rows(part: Part, found: Any) -> Sequence[Row]:
    """The rows of a part, from its results."""
    if part in PEAKS:
        name, aim = PEAKS[part]
        peak = f"{found['results']['ours']['peak_gb']:.2f}"
        memory = [(f"peak of training SD 1.5, {name}, GB", aim, peak)]
        return [*_steps("sd15", found), *memory] if part == "training-sd15-0.5" else memory
    kinds: dict[str, Callable[[Any], list[Row]]] = {
        "training-miniature-0.5": partial(_steps, "miniature"),
        "training-medium-0.5": partial(_steps, "medium"),
        "drawing-miniature": partial(_drawing, "miniature"),
        "drawing-medium": partial(_drawing, "215 M"),
        "mask": _mask,
        "quick": _quick,
        "processes": _processes,
    }
    return kinds[part](found)


def _steps(size: str, found: Any) -> list[Row]:
    name, results = SIZES[size], found["results"]
    ours = results["ours"]["seconds"]

    def of_ours(variant: str) -> float:
        return results[variant]["seconds"] / ours

    aim = "at most 1.10" if size == "miniature" else "at most 1.05"
    rows: list[Row] = [
        (f"a step, {name}, s", "", f"{ours:.3g}"),
        (f"a step / its floor, {name}", aim, f"{1 / of_ours('floor'):.2f}"),
        (f"a step / the floor by our kernels, {name}", "", f"{1 / of_ours('quick_floor'):.2f}"),
    ]
    if "reference" in results:
        ratio = f"{of_ours('reference'):.1f}"
        rows.append((f"the reference's step / ours, {name}", "at least 4", ratio))
    if "compiled" in results:
        ratio = of_ours("reference") / of_ours("compiled")
        rows.append((f"the reference's step / ours compiled, {name}", "", f"{ratio:.1f}"))
    return rows


def _drawing(size: str, found: Any) -> list[Row]:
    name = f"{size}, {found['at_once']} at once"
    told = {
        "a plain loop's time / ours, for an evaluation": "plain / evaluation",
        "a plain loop's time / ours, for a set": "plain / set",
        "of the bare UNet's speed, for an evaluation": "bare / evaluation",
        "of the bare UNet's speed, for a set": "bare / set",
        "of the bare UNet's and decoder's, for an evaluation": "bare and decode / evaluation",
    }
    return [
        (f"drawing: {what}, {name}", "", f"{found['ratios'][key]:.2f}")
        for what, key in told.items()
    ]


def _mask(found: Any) -> list[Row]:
    part, whole = found["a tenth"], found["all"]
    ratio = part["argsort_s"] / part["ours_s"]
    return [
        ("double argsort / our selection, 86 M", "at least 30", f"{ratio:.2f}"),
        ("the same mask", "every bit", "yes" if part["same_mask"] else "no"),
        ("selection of SD 1.5's, GB beyond", "at most 1", f"{whole['ours_gb_beyond']:.2f}"),
        ("mask file of SD 1.5, MB", "at most 108", f"{whole['file_mb']:.1f}"),
    ]


def _quick(found: Any) -> list[Row]:
    ua = found["erased"]["ua"]
    return [
        ("church from nothing, s", "at most 90", f"{found['total']:.0f}"),
        ("its ua, %", "at least 98", f"{ua['value']:.1f} {ua['ci95']}"),
    ]


def _processes(found: Any) -> list[Row]:
    alike, gone = found["alike"], found["ua"]["two processes, one thread each"]
    apart = max(alike["forget_loss"], alike["retain_loss"])
    return [
        ("mask bits as in one process, %", "at least 99.999", f"{alike['same']:.4f}"),
        ("losses apart at most", "1e-5", f"{apart:.1e}"),
        ("ua of two processes, %", "erased as well", f"{gone['value']:.1f} {gone['ci95']}"),
    ]


def _read(out: Path, name: str) -> Any:
    return json.loads((out / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(tyro.cli(SpeedOptions, description=__doc__))
