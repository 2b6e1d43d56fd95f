"""All that is claimed of time and memory, measured in one run, in one table with what was aimed at.

    python -m benchmarks.speed --out runs/bench

Some fifty minutes on two cores, which must have nothing else to do. Each benchmark behind a row
writes its own results too, and is not run again while they are there; see there for what exactly is
measured.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tyro

from benchmarks import drawing, mask, processes, quick, training
from benchmarks.common import Options, table, write_results
from benchmarks.machine import machine

SIZES = {"miniature": "miniature, 16 + 16", "medium": "215 M, 1 + 1", "sd15": "SD 1.5, 1 + 1"}
Row = tuple[str, str, str]
"""What, the aim, what was measured."""


def main(options: Options) -> None:
    """Run what has no results yet; print all, and write speed.json and speed.md."""
    out, shared = options.out, asdict(options)
    # Whether two processes erase is told by fewer images: the proof is that all else is alike.
    few = shared | {"protocol": "demo"}

    def step(size: training.Size, steps: int, **told: Any) -> Callable[[], None]:
        return lambda: training.main(training.Options(out=out, size=size, steps=steps, **told))

    ours: Any = {"variants": ("ours",)}
    parts: dict[str, Callable[[], None]] = {
        "training-miniature-0.5": step("miniature", 12, rounds=2),
        "training-medium-0.5": step("medium", 4),
        "training-sd15-0.5": step("sd15", 3),
        "training-sd15-0.5-8gb": step("sd15", 3, free=8, **ours),
        "training-sd15-0.1": step("sd15", 3, density=0.1, **ours),
        "drawing-miniature": lambda: drawing.main(drawing.Options(out=out)),
        "drawing-medium": lambda: drawing.main(drawing.Options(size="medium", out=out, batches=1)),
        "mask": lambda: mask.main(mask.Options(out=out)),
        "quick": lambda: quick.main(quick.QuickOptions(**shared)),
        "processes": lambda: processes.main(processes.Options(**few)),
    }
    for name, run in parts.items():
        if not (out / f"{name}.json").is_file():
            run()
    rows = [*_steps(out), *_memory(out), *_drawing(out), *_mask(out), *_erasures(out)]
    markdown = f"{machine()}\n\n{table(['', 'aim', 'measured'], rows)}"
    write_results(options, "speed", {"machine": machine(), "rows": rows}, markdown)
    sys.stdout.write(markdown)


def _steps(out: Path) -> list[Row]:
    rows: list[Row] = []
    for size, name in SIZES.items():
        found = _read(out, f"training-{size}-0.5")["results"]

        def of_ours(variant: str, found: Any = found) -> float:
            return found[variant]["seconds"] / found["ours"]["seconds"]

        rows.append((f"a step, {name}, s", "", f"{found['ours']['seconds']:.3g}"))
        aim = "at most 1.10" if size == "miniature" else "at most 1.05"
        rows.append((f"a step / its floor, {name}", aim, f"{1 / of_ours('floor'):.2f}"))
        quick_floor = f"{1 / of_ours('quick_floor'):.2f}"
        rows.append((f"a step / the floor by our kernels, {name}", "", quick_floor))
        if "reference" in found:
            ratio = f"{of_ours('reference'):.1f}"
            rows.append((f"the reference's step / ours, {name}", "at least 4", ratio))
        if "compiled" in found:
            ratio = of_ours("reference") / of_ours("compiled")
            rows.append((f"the reference's step / ours compiled, {name}", "", f"{ratio:.1f}"))
    return rows


def _memory(out: Path) -> list[Row]:
    runs = (
        ("density 0.5", "training-sd15-0.5", "at most 10"),
        ("density 0.5, told of 8 GB", "training-sd15-0.5-8gb", "at most 10"),
        ("density 0.1", "training-sd15-0.1", "at most 6"),
    )
    return [
        (f"peak of training SD 1.5, {name}, GB", aim, f"{_peak(_read(out, file)):.2f}")
        for name, file, aim in runs
    ]


def _peak(record: Any) -> float:
    return record["results"]["ours"]["peak_gb"]


def _drawing(out: Path) -> list[Row]:
    rows: list[Row] = []
    for size in ("miniature", "medium"):
        found = _read(out, f"drawing-{size}")
        name = f"{'215 M' if size == 'medium' else size}, {found['at_once']} at once"
        told = {
            "a plain loop's time / ours, for an evaluation": "plain / evaluation",
            "a plain loop's time / ours, for a set": "plain / set",
            "of the bare UNet's speed, for an evaluation": "bare / evaluation",
            "of the bare UNet's speed, for a set": "bare / set",
            "of the bare UNet's and decoder's, for an evaluation": "bare and decode / evaluation",
        }
        rows += [
            (f"drawing: {what}, {name}", "", f"{found['ratios'][key]:.2f}")
            for what, key in told.items()
        ]
    return rows


def _mask(out: Path) -> list[Row]:
    found = _read(out, "mask")
    part, whole = found["a tenth"], found["all"]
    ratio = part["argsort_s"] / part["ours_s"]
    return [
        ("double argsort / our selection, 86 M", "at least 30", f"{ratio:.2f}"),
        ("the same mask", "every bit", "yes" if part["same_mask"] else "no"),
        ("selection of SD 1.5's, GB beyond", "at most 1", f"{whole['ours_gb_beyond']:.2f}"),
        ("mask file of SD 1.5, MB", "at most 108", f"{whole['file_mb']:.1f}"),
    ]


def _erasures(out: Path) -> list[Row]:
    church, both = _read(out, "quick"), _read(out, "processes")
    ua, alike = church["erased"]["ua"], both["alike"]
    apart = max(alike["forget_loss"], alike["retain_loss"])
    gone = both["ua"]["two processes, one thread each"]
    return [
        ("church from nothing, s", "at most 90", f"{church['total']:.0f}"),
        ("its ua, %", "at least 98", f"{ua['value']:.1f} {ua['ci95']}"),
        ("mask bits as in one process, %", "at least 99.999", f"{alike['same']:.4f}"),
        ("losses apart at most", "1e-5", f"{apart:.1e}"),
        ("ua of two processes, %", "erased as well", f"{gone['value']:.1f} {gone['ci95']}"),
    ]


def _read(out: Path, name: str) -> Any:
    return json.loads((out / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
