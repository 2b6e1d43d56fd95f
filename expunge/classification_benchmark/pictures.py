"""The paper's two pictures: the gap against the forget share, and each metric as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from expunge.classification_benchmark.cells import label
from expunge.classification_benchmark.results import MEASURES, Row, title

_SOME = ("ft", "ga", "rl", "l1_sparse", "salun")
_COLOURS = {
    "original": "#b8b8b8",
    "retrain": "#4d4d4d",
    "ft": "#e69f00",
    "ga": "#cc79a7",
    "rl": "#56b4e9",
    "l1_sparse": "#009e73",
    "salun": "#d62728",
}
_FAR = 3
"""Times the median gap, from where on one is left out of the scale."""
_MARKERS = {"ft": "s", "ga": "^", "rl": "o", "l1_sparse": "D", "salun": "*"}


def draw_gap(rows: Sequence[Row], path: Path) -> bool:
    """Average gap against forget share, a line a method; False, and no file, for a single share."""
    rows = [
        row for row in rows if row.share is not None and row.variant not in ("retrain", "original")
    ]
    if len({row.share for row in rows}) < 2:
        return False
    figure, axes = _figure(1, (6.4, 3.6))
    for variant in dict.fromkeys(row.variant for row in rows):
        points = sorted((r for r in rows if r.variant == variant), key=lambda r: r.share or 0)
        method = variant.removesuffix("-mask")
        axes[0].errorbar(
            [100 * (point.share or 0) for point in points],
            [point.gap.mean for point in points],
            [point.gap.std or 0 for point in points],
            label=label(variant),
            color=_COLOURS[method],
            marker=_MARKERS[method],
            ls="--" if method != variant else "-",
            lw=1.4,
            ms=9 if method == "salun" else 5,
            capsize=2,
        )
    axes[0].set(xlabel="forgotten, % of the training images", ylabel="average gap, points")
    _leave_out(axes[0], rows)
    figure.legend(loc="outside right upper")
    _write(figure, path)
    return True


def draw_metrics(rows: Sequence[Row], path: Path) -> None:
    """UA, RA, TA and MIA of every method beside Retrain's line, a row of bars a task."""
    tasks = list(dict.fromkeys(row.task for row in rows))
    figure, axes = _figure(len(tasks) * len(MEASURES), (9.6, 0.6 + 2.1 * len(tasks)), len(tasks))
    for place, (task, measure) in enumerate((t, m) for t in tasks for m in MEASURES):
        own = [row for row in rows if row.task == task and row.variant != "retrain"]
        exact = [row for row in rows if row.task == task and row.variant == "retrain"]
        values = [getattr(row, measure) for row in own]
        axes[place].barh(
            range(len(own)),
            [value.mean for value in values],
            xerr=[value.std or 0 for value in values],
            color=[_COLOURS[row.variant.removesuffix("-mask")] for row in own],
            hatch=["///" if row.variant.endswith("-mask") else "" for row in own],
            edgecolor="white",
            error_kw={"lw": 0.8},
        )
        if exact:
            axes[place].axvline(getattr(exact[0], measure).mean, color="#000", lw=1, ls="--")
        first = measure == MEASURES[0]
        axes[place].set_yticks(
            range(len(own)), [label(row.variant) for row in own] if first else [""] * len(own)
        )
        axes[place].invert_yaxis()
        axes[place].set_title(
            f"{title(task)}: {measure.upper()}, %" if first else f"{measure.upper()}, %"
        )
        _zoom(axes[place], [*values, *(getattr(row, measure) for row in exact)])
    _write(figure, path)


def _leave_out(axes: Any, rows: Sequence[Row]) -> None:
    """End the scale before what lies far above all else, and say where that is."""
    far = _FAR * median(row.gap.mean for row in rows)
    beyond = [row for row in rows if row.gap.mean > far]
    near = [row.gap.mean + (row.gap.std or 0) for row in rows if row not in beyond]
    axes.set_ylim(0, 1.1 * max(near) or None)
    said = [
        f"{label(row.variant)}, {100 * (row.share or 0):g} %: {row.gap.mean:.1f}" for row in beyond
    ]
    if said:
        axes.set_title("off the scale: " + "; ".join(said), fontsize=8)


def _zoom(axes: Any, values: Sequence[Any]) -> None:
    """Let bars that are all near 100 % begin where they differ."""
    low = min(value.mean - (value.std or 0) for value in values)
    if low > 60:
        axes.set_xlim(low - 0.25 * (100 - low), 100.5)


def _figure(count: int, size: tuple[float, float], rows: int = 1) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, count // rows, squeeze=False).flatten()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
        one.title.set_fontsize(9)
    return figure, axes


def _write(figure: Any, path: Path) -> None:
    # No date in it: the same results give the same bytes.
    figure.savefig(path, dpi=80, metadata={"Software": None})
