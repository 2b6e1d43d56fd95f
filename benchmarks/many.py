"""How many concepts at once can each method erase?

    python -m benchmarks.many --out runs/bench

One, ten and thirty of the miniature's objects, the first of them counterparts of Imagenette's ten,
in one erasure by each method's defaults, and the bench protocol, whose forget images are shared
out among the concepts. No attacks. Resumes by cell.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.common import Options, table, write_results
from benchmarks.frontier import ROWS, erase_row
from erase.models.companions import vocabulary
from erase.models.locate import locate
from eval.metrics.rates import cell
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept
from plumbing.processes import sole

METRICS = ("ua", "ira", "cra", "near", "substitute")
COUNTS = (1, 10, 30)


@dataclass(frozen=True)
class ManyOptions(Options):
    """Flags of the benchmark of many concepts at once."""

    rows: tuple[str, ...] = tuple(
        row for row in ROWS if "mask" not in row and "adversaries" not in row
    )
    """Which methods."""
    counts: tuple[int, ...] = COUNTS
    """How many concepts."""
    seed: int = 0
    """Of the erasures."""


def main(options: ManyOptions) -> None:
    """Make every cell; print, and write many.json and many.md."""
    points: list[dict[str, Any]] = []
    markdown = ""
    for count in options.counts:
        for row in options.rows:
            points.append(_cell(row, count, options))
            markdown = to_markdown(points)
            write_results(options, "many", {"points": points}, markdown)
    sys.stdout.write(markdown)


def to_markdown(points: Sequence[dict[str, Any]]) -> str:
    """A row a method and number of concepts."""
    rows = [
        [f"{p['concepts']}", p["row"], *p["cells"], f"{p['passes']:,}", f"{p['seconds']:.0f}"]
        for p in points
    ]
    return table(["concepts", "", *METRICS, "passes", "seconds"], rows)


def _cell(row: str, count: int, options: ManyOptions) -> dict[str, Any]:
    words = vocabulary(locate(options.model))
    if words is None or len(words.objects) < count:
        sys.exit(f"--model {options.model}: names no {count} objects; take the miniature")
    name = f"many {count} {options.seed} {row}"
    target, cost = erase_row(row, words.objects[:count], options.seed, name, options)
    judged, _ = sole(evaluate_concept(EvaluateConcept(target=target, protocol="bench")))
    scores = {metric: getattr(judged.erased, metric) for metric in METRICS}
    return {
        "row": row,
        "concepts": count,
        **cost,
        "evaluation": judged.to_dict(),
        "cells": [cell(score) for score in scores.values()],
    }


if __name__ == "__main__":
    main(tyro.cli(ManyOptions, description=__doc__))
