"""One training step: ours, the official structure's, and the bare UNet's; time and memory.

python -m benchmarks.training --size miniature

`floor` is what no implementation can do without: a teacher's forward pass, a student's forward and
backward pass over the same rows in the same type and layout, and a fused AdamW step over as many
weights as are selected; by torch's own kernels, or by ours (`quick_floor`). `reference`
(benchmarks/reference.py) is the official structure in float32; at the full size of SD 1.5 its state
alone would be 20.6 GB, so it is left out there. `compiled` is ours with --compile, `channels_last`
ours in that memory layout. Each runs in a process of its own, one after the other; the quickest of
the steps after the first counts.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks.apart import last_json
from benchmarks.clock import peak_gb
from benchmarks.configs import ROWS
from benchmarks.machine import machine
from benchmarks.models import CPU
from benchmarks.training_steps import Case, Form, time_ours, time_passes, time_reference
from erase.models.devices import resolve_dtype
from plumbing.whole_files import replace_file

Size = Literal["miniature", "medium", "sd15"]
Variant = Literal["floor", "quick_floor", "ours", "compiled", "channels_last", "reference"]
FORMS: dict[Variant, Form] = {"compiled": "compiled", "channels_last": "channels-last"}
DEFAULTS: dict[Size, tuple[Variant, ...]] = {
    "miniature": ("floor", "quick_floor", "ours", "compiled", "channels_last", "reference"),
    "medium": ("floor", "quick_floor", "ours", "channels_last", "reference"),
    "sd15": ("floor", "quick_floor", "ours"),
}


@dataclass(frozen=True)
class Options:
    """Flags."""

    size: Size = "miniature"
    """The shipped miniature (16 + 16 rows), an SD-shaped UNet of 215 M weights, or SD 1.5's
    (1 + 1 rows of 64x64 latents)."""
    density: float = 0.5
    """Share of the weights that are trained."""
    steps: int = 6
    """Training steps, the first one for warming up."""
    rounds: int = 1
    """Times that all are run, one after the other; the quickest step of all rounds counts."""
    variants: tuple[Variant, ...] = ()
    """What is timed; nothing: all that fit in 24 GB, compiled steps of the miniature alone."""
    dtype: str = "auto"
    """As `expunge erase --dtype`."""
    free: float | None = None
    """Gigabytes to plan for, instead of what is free here."""
    pixels: int | None = None
    """Side of the images, instead of the model's own."""
    out: Path = Path("runs/bench")
    """Folder of the table."""
    variant: Variant | None = None
    """Run this one alone, here, and print its JSON."""


def main(options: Options) -> None:
    """Print and write the table, or run one variant."""
    if options.variant:
        print(json.dumps(run_variant(options, options.variant)))
        return
    variants = options.variants or DEFAULTS[options.size]
    runs = [{v: _apart(options, v) for v in variants} for _ in range(options.rounds)]
    results = {v: _best([run[v] for run in runs]) for v in variants}
    for result in results.values() if "ours" in results else ():
        result["of_ours"] = round(result["seconds"] / results["ours"]["seconds"], 3)
    record = {
        "benchmark": "training",
        "size": options.size,
        "density": options.density,
        "machine": machine(),
        "results": results,
    }
    name = f"training-{options.size}-{options.density:g}"
    name += f"-{options.free:g}gb" if options.free else ""
    name += f"-{options.pixels}px" if options.pixels else ""
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
    print(json.dumps(record, indent=2))


def _best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The quickest step of several runs of one variant, and the highest of their peaks."""
    return {
        "seconds": min(run["seconds"] for run in runs),
        "rounds": [run["seconds"] for run in runs],
        "peak_gb": max(run["peak_gb"] for run in runs),
    }


def _apart(options: Options, variant: Variant) -> dict[str, Any]:
    own = ("size", "density", "steps", "dtype", "free", "pixels")
    flags = {name: getattr(options, name) for name in own}
    return last_json("benchmarks.training", flags | {"variant": variant})


def run_variant(options: Options, variant: Variant) -> dict[str, Any]:
    """Seconds of the quickest step and of all but the first, and gigabytes at most, here."""
    case = Case(
        size=options.size,
        rows=ROWS[options.size],
        steps=options.steps,
        dtype=resolve_dtype(options.dtype, CPU),
        density=options.density,
        form=FORMS.get(variant, ""),
        pixels=options.pixels,
        free=options.free,
    )
    if variant == "reference":
        times = time_reference(case)
    elif variant in ("floor", "quick_floor"):
        times = time_passes(case, optimise=True, kernels=variant == "quick_floor")
    else:
        times, plan = time_ours(case)
        print(plan.describe(), plan.gigabytes, file=sys.stderr)
    return {
        "seconds": round(min(times), 4),
        "all": [round(t, 3) for t in times],
        "peak_gb": peak_gb(CPU),
    }


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    main(tyro.cli(Options, description=__doc__))
