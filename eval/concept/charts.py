"""Several runs' concepts in one chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.kind.chart import ERASED, INK, ORIGINAL, draw_chart


@dataclass(frozen=True)
class Spot:
    """One run in the scatter: its number in the table, erasure and what was kept, in percent."""

    number: int
    ua: float
    ira: float | None
    cra: float | None


def draw_scatter(spots: Sequence[Spot]) -> Markup:
    """Erasure against what was kept, a number a run; the upper right corner is best."""

    def draw(axes: Any) -> None:
        # A ring around a square: both show where they are at the same place.
        for field, marker, colour, size in (("ira", "o", ERASED, 110), ("cra", "s", ORIGINAL, 28)):
            known = [spot for spot in spots if getattr(spot, field) is not None]
            at, values = [s.ua for s in known], [getattr(s, field) for s in known]
            fill = "none" if field == "ira" else colour
            style = {"s": size, "c": fill, "marker": marker, "edgecolors": colour, "lw": 1.5}
            axes.scatter(at, values, label=field, **style)
            for spot, value in zip(known, values, strict=True):
                place = (spot.ua, value)
                axes.annotate(
                    str(spot.number), place, xytext=(8, 5), textcoords="offset points", color=INK
                )
        axes.set(xlabel="erased: ua, %", ylabel="kept: ira and cra, %")
        axes.set(xlim=(-4, 106), ylim=(-4, 106), xticks=range(0, 101, 25), yticks=range(0, 101, 25))

    return draw_chart(
        "scatter", "Erasure against what was kept, a numbered point a run.", draw, 4.2
    )
