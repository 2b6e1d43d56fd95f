"""The table of the benchmark of all methods, from its points."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from benchmarks.common import table
from eval.metrics.rates import cell, wilson
from eval.metrics.schema import Metric

METRICS = ("ua", "ira", "cra", "near", "substitute")
ATTACKS = ("words", "complete", "learned-word", "embedding", "relearn")
DISTANCES = (
    ("images", "forget", "CMMD, forgotten"),
    ("images", "kept", "CMMD, kept"),
    ("predictions", "forget", "predictions, forgotten"),
    ("predictions", "kept", "predictions, kept"),
)
Point = Mapping[str, Any]


def to_markdown(points: Sequence[Point]) -> str:
    """A table a concept: a row a method, the images of all its seeds together."""
    parts = []
    for concept, group in groupby(sorted(points, key=_concept), _concept):
        own = list(group)
        seeds = sorted({point["seed"] for point in own})
        rows = {row: [p for p in own if p["row"] == row] for row in {p["row"]: 0 for p in own}}
        parts.append(f"**{concept}**, seeds {', '.join(map(str, seeds))}; in %, 95 % intervals.\n")
        parts.append(_what_it_does(rows))
        if any(p["distance"] for p in own):
            parts.append(
                "How far from Retrain: CMMD of images, and predictions in % of the original's.\n"
            )
            parts.append(_how_far(rows))
    return "\n".join(parts)


def pooled(metrics: Sequence[Metric]) -> Metric | None:
    """A rate over all images of several evaluations."""
    if not metrics:
        return None
    hits, n = sum(round(m.value * m.n / 100) for m in metrics), sum(m.n for m in metrics)
    return Metric(value=100 * hits / n, n=n, ci95=wilson(hits, n))


def _concept(point: Point) -> str:
    return point["concept"]


def _what_it_does(rows: Mapping[str, Sequence[Point]]) -> str:
    # Every cell measures the original on the same prompts and noise: its images are told once.
    lines = [_erased("original", next(iter(rows.values()))[:1], side="original")]
    lines += [_erased(row, points) for row, points in rows.items()]
    return table(["", *METRICS, *ATTACKS, "passes", "seconds"], lines)


def _erased(name: str, points: Sequence[Point], side: str = "erased") -> list[str]:
    scores = [_metrics(p["evaluation"][side].get(metric) for p in points) for metric in METRICS]
    attacks = [
        _metrics((p["attack"][side].get(attack) or {}).get("success") for p in points)
        for attack in ATTACKS
    ]
    costs = ["", ""]
    if side == "erased" and "passes" in points[0]:
        means = [sum(p[cost] for p in points) / len(points) for cost in ("passes", "seconds")]
        costs = [f"{mean:,.0f}" for mean in means]
    return [name, *(cell(pooled(found)) for found in (*scores, *attacks)), *costs]


def _how_far(rows: Mapping[str, Sequence[Point]]) -> str:
    lines = [
        [row, *(_mean(points, kind, split) for kind, split, _ in DISTANCES)]
        for row, points in rows.items()
    ]
    return table(["", *(title for *_, title in DISTANCES)], lines)


def _mean(points: Sequence[Point], kind: str, split: str) -> str:
    values = [p["distance"][kind][split]["value"] for p in points]
    return f"{sum(values) / len(values):.2f}"


def _metrics(records: Any) -> list[Metric]:
    return [Metric(r["value"], r["n"], tuple(r["ci95"])) for r in records if r]
