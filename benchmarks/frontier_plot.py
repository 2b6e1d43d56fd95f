"""The picture of the benchmark of all methods: how deep against how much is kept."""

from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

from matplotlib.figure import Figure

from benchmarks.frontier_table import Point, concepts_of, metrics, pooled
from eval.metrics.schema import Metric

DEEP = ("words", "learned-word", "embedding")
"""Attacks by a text: the worst of them counts."""
KEPT = ("ira", "cra", "near")


def draw(points: Sequence[Point]) -> Figure:
    """A panel a concept, a point a method, with 95 % intervals; upper right is best."""
    concepts = concepts_of(points)
    figure = Figure(figsize=(5.2 * len(concepts), 4.4), layout="constrained")
    for number, (concept, rows) in enumerate(concepts.items(), 1):
        axes = figure.add_subplot(1, len(concepts), number)
        for row, own in rows.items():
            across, up = depth(own), retention(own)
            if across and up:
                _spot(axes, row, across, up)
        axes.set(
            title=concept, xlabel="images that the worst attack by a text does not bring back, %"
        )
        axes.set(ylabel="mean of ira, cra and near, %" if number == 1 else "")
        axes.grid(alpha=0.3)
    return figure


def depth(points: Sequence[Point]) -> Metric | None:
    """What the worst of the attacks by a text leaves erased."""
    found = [
        metrics((p["attack"]["erased"].get(name) or {}).get("success") for p in points)
        for name in DEEP
    ]
    reached = [each for each in map(pooled, found) if each]
    if not reached:
        return None
    worst = max(reached, key=lambda metric: metric.value)
    low, high = worst.ci95
    return Metric(100 - worst.value, worst.n, (100 - high, 100 - low))


def retention(points: Sequence[Point]) -> Metric | None:
    """The mean of three rates; its interval as of independent ones."""
    found = [metrics(p["evaluation"]["erased"].get(name) for p in points) for name in KEPT]
    kept = [each for each in map(pooled, found) if each]
    if not kept:
        return None
    mean = sum(metric.value for metric in kept) / len(kept)
    below = hypot(*(metric.value - metric.ci95[0] for metric in kept)) / len(kept)
    above = hypot(*(metric.ci95[1] - metric.value for metric in kept)) / len(kept)
    return Metric(mean, sum(metric.n for metric in kept), (mean - below, mean + above))


def _spot(axes: Any, row: str, across: Metric, up: Metric) -> None:
    ours = row.startswith("salun")
    axes.errorbar(
        [across.value],
        [up.value],
        xerr=_bars(across),
        yerr=_bars(up),
        fmt="o" if ours else "D" if row == "retrain" else "s",
        color="C3" if ours else "0.1" if row == "retrain" else "C0",
        elinewidth=0.6,
        markersize=5,
    )
    place: Mapping[str, Any] = {"xytext": (5, 4), "textcoords": "offset points", "fontsize": 8}
    axes.annotate(row, (across.value, up.value), **place)


def _bars(metric: Metric) -> list[list[float]]:
    low, high = metric.ci95
    return [[max(0, metric.value - low)], [max(0, high - metric.value)]]
