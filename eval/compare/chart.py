"""The runs in the plane of what was erased and what was kept, and the frontier."""

from collections.abc import Sequence
from typing import Any

from eval.compare.plane import Plane, Spot
from eval.depth.results import Depth
from eval.kind.chart import ERASED, INK, ORIGINAL, Chart, draw_chart
from eval.metrics.schema import Metric

_BEYOND = 10.0
"""Percent points outside 0 to 100 to which an interval is drawn."""


def draw_plane(plane: Plane) -> list[Chart]:
    """One chart with 95 % intervals in both directions; none if no run has both."""
    if not plane.spots:
        return []

    def draw(axes: Any) -> None:
        front = plane.front
        across, up = [s.erased.value for s in front], [s.kept.value for s in front]
        axes.plot(across, up, color=ERASED, lw=1, ls=(0, (4, 2)), drawstyle="steps-pre")
        for told, colour, filled in (
            ("on the frontier", ERASED, True),
            ("beaten", ORIGINAL, False),
        ):
            own = [s for s in plane.spots if (plane.beaten[s.number] is None) == filled]
            _spots(axes, own, colour, filled, told)
        for spot in plane.spots:
            place = (spot.erased.value, spot.kept.value)
            axes.annotate(
                str(spot.number), place, xytext=(6, 5), textcoords="offset points", color=INK
            )
        axes.set(xlabel=plane.axis.label, ylabel=plane.retention_label)
        low, high = _limits([(s.erased.value, *_ends(s.erased)) for s in plane.spots])
        axes.set(xlim=(low, high) if plane.axis.better > 0 else (high, low))
        axes.set(ylim=_limits([(s.kept.value, *_ends(s.kept)) for s in plane.spots]))

    name = plane.axis.name
    alt = f"{name.capitalize()} against retention, a numbered point a run: " + "; ".join(
        f"{s.number} at {s.erased.value:.0f} and {s.kept.value:.0f} %" for s in plane.spots
    )
    caption = (
        f"{name.capitalize()} against {plane.retention_label.replace(', %', '')}, weighed alike: "
        "upper right is best. The numbers are the table's rows, the bars 95 % intervals, the "
        "dashed line the frontier, by the point estimates. The axes begin where the figures do."
    )
    return [Chart(caption, draw_chart("plane", alt, draw, 4.2))]


def _spots(axes: Any, spots: list[Spot], colour: str, filled: bool, told: str) -> None:
    if not spots:
        return
    erased, kept = [spot.erased for spot in spots], [spot.kept for spot in spots]
    axes.errorbar(
        [each.value for each in erased],
        [each.value for each in kept],
        xerr=_bars(erased),
        yerr=_bars(kept),
        fmt="o" if filled else "s",
        color=colour,
        markerfacecolor=colour if filled else "none",
        markersize=6,
        elinewidth=0.8,
        label=told,
    )


def _bars(values: Sequence[Metric | Depth]) -> list[list[float]]:
    """Lengths below and above."""
    ends = [_ends(each) for each in values]
    below = [each.value - low for each, (low, _) in zip(values, ends, strict=True)]
    return [below, [high - each.value for each, (_, high) in zip(values, ends, strict=True)]]


def _ends(value: Metric | Depth) -> tuple[float, float]:
    """The interval, as far as it is drawn."""
    low, high = value.ci95
    return min(value.value, max(low, -_BEYOND)), max(value.value, min(high, 100 + _BEYOND))


def _limits(seen: list[tuple[float, float, float]]) -> tuple[float, float]:
    """From below the least to above the most, ten points or so; hardly beyond 100 for nothing."""
    low, high = min(map(min, seen)), max(map(max, seen))
    room = max(0.06 * (high - low), (10 - (high - low)) / 2, 1.0)
    return low - room, min(high + room, max(high, 100.0) + 1)
