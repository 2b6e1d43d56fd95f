"""How many training steps does it take? The choice of the default, and what --until-erased saves.

python -m benchmarks.steps --protocol demo --out runs/bench
"""

import sys
from dataclasses import dataclass
from typing import Any

import tyro
from matplotlib.figure import Figure

from benchmarks.common import (
    METRICS,
    SCORES,
    Options,
    run_case,
    score_cells,
    table,
    to_png,
    write_results,
)
from erase.run_folder.folder import read_run
from expunge.settings.erase import Erase
from expunge.settings.salun import SalUnFlags
from plumbing.whole_files import replace_file


@dataclass(frozen=True)
class StepsOptions(Options):
    """Flags of the benchmark of steps."""

    concepts: tuple[str, ...] = ("church", "outline")
    """What is erased: an object and a style."""
    steps: tuple[int, ...] = (10, 20, 40, 60, 100, 150)
    """Lengths of the training, each a training of its own."""


def main(options: StepsOptions) -> None:
    """Erase and measure by every number of steps; print, and write steps.json, .md and .png."""
    points: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    for concept in options.concepts:
        for steps in options.steps:
            points.append(_measure(concept, f"{concept} {steps} steps", options, steps=steps))
            rows.append([f"{concept}, {steps}", *points[-1]["cells"]])
        until = f"{concept} until erased"
        points.append(_measure(concept, until, options, until_erased=True))
        rows.append([f"{until}: {points[-1]['steps']}", *points[-1]["cells"]])
    note = (
        f"Training steps, {options.model}, {options.protocol} protocol, seed 0, in %, with 95 % "
        "intervals; all other settings are the defaults."
    )
    markdown = f"{note}\n\n{table(['concept, steps', *SCORES, 'training, s'], rows)}"
    write_results(options, "steps", {"points": points}, markdown)
    replace_file(options.out / "steps.png", _draw(points, options))
    sys.stdout.write(markdown)


def _measure(concept: str, name: str, options: Options, **settings: Any) -> dict[str, Any]:
    command = Erase(concepts=(concept,), settings=SalUnFlags(**settings))
    case = run_case(name, command, options)
    run = read_run(options.out / name.replace(" ", "-"))
    scores, seconds = case.evaluation.erased, run.seconds["train"]
    return {
        "concept": concept,
        "steps": run.stopped.step if run.stopped else run.config["steps"],
        "until_erased": bool(settings.get("until_erased")),
        "seconds": seconds,
        "rates": {metric: m.value for metric in METRICS if (m := getattr(scores, metric))},
        "cells": [*score_cells(scores), f"{seconds:.0f}"],
    }


def _draw(points: list[dict[str, Any]], options: StepsOptions) -> bytes:
    """`ua` and `ira` of every concept by steps; a PNG."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for concept, colour in zip(options.concepts, ("C0", "C1", "C2", "C3"), strict=False):
        own = [p for p in points if p["concept"] == concept and not p["until_erased"]]
        for metric, style in (("ua", "-"), ("ira", ":")):
            steps = [p["steps"] for p in own]
            rates = [p["rates"].get(metric) for p in own]
            axes.plot(steps, rates, style, color=colour, marker="o", label=f"{concept}, {metric}")
    axes.set(xlabel="training steps", ylabel="%", ylim=(-3, 103), xlim=(0, None))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    return to_png(figure)


if __name__ == "__main__":
    main(tyro.cli(StepsOptions, description=__doc__))
