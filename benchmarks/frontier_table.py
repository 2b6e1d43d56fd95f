"""The table of the benchmark of all methods, from its points."""

from collections.abc import Mapping, Sequence
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
    for concept, rows in concepts_of(points).items():
        own = [point for of_row in rows.values() for point in of_row]
        seeds = sorted({point["seed"] for point in own})
        parts.append(f"**{concept}**, seeds {', '.join(map(str, seeds))}; in %, 95 % intervals.\n")
        parts.append(_what_it_does(rows))
        if any(p["distance"] for p in own):
            parts.append(
                "How far from Retrain: CMMD of images, and predictions in % of the original's.\n"
            )
            parts.append(_how_far(rows))
    return "\n".join(parts)


def concepts_of(points: Sequence[Point]) -> dict[str, dict[str, list[Point]]]:
    """The points of each concept by row, in the order in which they were made."""
    found: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        found.setdefault(point["concept"], {}).setdefault(point["row"], []).append(point)
    return found


def pooled(metrics: Sequence[Metric]) -> Metric | None:
    """A rate over all images of several evaluations."""
    if not metrics:
        return None
    hits, n = sum(round(m.value * m.n / 100) for m in metrics), sum(m.n for m in metrics)
    return Metric(value=100 * hits / n, n=n, ci95=wilson(hits, n))


def metrics(records: Any) -> list[Metric]:
    """Those that there are, from their JSON."""
    return [Metric(r["value"], r["n"], tuple(r["ci95"])) for r in records if r]


def _what_it_does(rows: Mapping[str, Sequence[Point]]) -> str:
    # Every cell measures the original on the same prompts and noise: its images are told once.
    lines = [_erased("original", next(iter(rows.values()))[:1], side="original")]
    lines += [_erased(row, points) for row, points in rows.items()]
    return table(["", *METRICS, *ATTACKS, "passes", "seconds"], lines)


def _erased(name: str, points: Sequence[Point], side: str = "erased") -> list[str]:
    scores = [metrics(p["evaluation"][side].get(metric) for p in points) for metric in METRICS]
    attacks = [
        metrics((p["attack"][side].get(attack) or {}).get("success") for p in points)
        for attack in ATTACKS
    ]
    costs = ["", ""]
    if side == "erased" and "passes" in points[0]:
        means = [sum(p[cost] for p in points) / len(points) for cost in ("passes", "seconds")]
        costs = [f"{mean:,.0f}" for mean in means]
    told = [cell(pooled(found)) for found in scores] + [cell(pooled(found), 0) for found in attacks]
    return [name, *told, *costs]


def _how_far(rows: Mapping[str, Sequence[Point]]) -> str:
    lines = [
        [row, *(_mean(points, kind, split) for kind, split, _ in DISTANCES)]
        for row, points in rows.items()
    ]
    return table(["", *(title for *_, title in DISTANCES)], lines)


def _mean(points: Sequence[Point], kind: str, split: str) -> str:
    values = [p["distance"][kind][split]["value"] for p in points]
    return f"{sum(values) / len(values):.2f}"
