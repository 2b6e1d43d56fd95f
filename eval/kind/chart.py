"""A chart as inline SVG that takes its colours from the page; matplotlib, no screen."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

_COLOURS = {
    "#000001": "currentColor",
    "#000002": "var(--rule)",
    "#000003": "var(--original)",
    "#000004": "var(--erased)",
}
"""Stand-ins that matplotlib draws with, and what the page's style sheet makes of them."""
INK, RULE, ORIGINAL, ERASED = _COLOURS


@dataclass(frozen=True)
class Chart:
    """A drawing and the line below it."""

    caption: str
    drawing: Markup


def draw_chart(name: str, alt: str, draw: Callable[[Any], None], height: float = 3.2) -> Markup:
    """An SVG of one pair of axes whose colours, fonts and ids suit the page; `draw` fills them."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        # Else ids are random, and the same run would give another file.
        "svg.hashsalt": "expunge",
        # A label is text, whoever wrote it: a dollar sign in it starts no formula.
        "text.parse_math": False,
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": RULE,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(4.2, height), layout="constrained", facecolor="none")
        axes = figure.subplots()
        axes.set_facecolor("none")
        draw(axes)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper left", ncols=2)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file)
    return _adapt(file.getvalue(), name, alt)


def _adapt(svg: str, name: str, alt: str) -> Markup:
    """The picture as part of the page: its own ids, the page's colours and font, a text for it."""
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]+)"', inner)
    inner = inner[inner.index(">", inner.index("<svg")) + 1 :].replace("xlink:href", "href")
    inner = re.sub(r' id="', f' id="{name}-', inner)
    inner = re.sub(r'(url\(|href=")#', rf"\1#{name}-", inner)
    inner = re.sub(r"font-family: [^;\"]*;? ?", "", inner)
    for stand_in, colour in _COLOURS.items():
        inner = inner.replace(stand_in, colour)
    head = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="{}">')
    return head.format(alt, box[1] if box else "0 0 360 230") + Markup(inner)
