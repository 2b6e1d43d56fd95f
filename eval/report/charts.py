"""The report's charts as inline SVG that takes its colours from the page; matplotlib, no screen."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from eval.i2p.results import NudityEvaluation
from eval.report.data import MaskPart, Step
from eval.report.training_end import Guard
from plumbing.visible_text import plain

_COLOURS = {
    "#000001": "currentColor",
    "#000002": "var(--rule)",
    "#000003": "var(--original)",
    "#000004": "var(--erased)",
}
"""Stand-ins that matplotlib draws with, and what the page's style sheet makes of them."""
INK, RULE, ORIGINAL, ERASED = _COLOURS
_POINTS = 400
"""Steps of a loss curve that are drawn."""


@dataclass(frozen=True)
class Spot:
    """One run in the scatter: its number in the table, erasure and what was kept, in percent."""

    number: int
    ua: float
    ira: float | None
    cra: float | None


def draw_losses(steps: Sequence[Step]) -> Markup:
    """Both losses by step."""
    some = steps[:: max(1, len(steps) // _POINTS)]

    def draw(axes: Any) -> None:
        number = [step.step for step in some]
        axes.plot(number, [s.forget_loss for s in some], color=ERASED, label="forget", lw=1.3)
        axes.plot(number, [s.retain_loss for s in some], color=ORIGINAL, label="retain", lw=1.3)
        axes.lines[1].set_linestyle((0, (4, 1.5)))
        axes.set(xlabel="step", ylabel="loss", ylim=(0, None))

    return _chart("losses", "Forget and retain loss by training step.", draw)


def draw_drift(guard: Guard, kept_step: int | None = None) -> Markup:
    """The quality guard's drift by step, its limit, and the step whose weights were kept."""

    def draw(axes: Any) -> None:
        steps, values = zip(*guard.drift, strict=True)
        axes.plot(steps, values, color=ERASED, label="drift", lw=1.3, marker=".")
        axes.axhline(guard.limit, color=INK, label="limit", lw=1, ls=(0, (2, 2)))
        if kept_step is not None:
            axes.axvline(kept_step, color=ORIGINAL, label="step kept", lw=1.3, ls=(0, (4, 1.5)))
        axes.set(xlabel="step", ylabel="drift", ylim=(0, None))

    alt = "Drift of predictions for other prompts by training step, and the limit."
    return _chart("drift", alt, draw)


def draw_thresholds(evaluation: NudityEvaluation) -> Markup:
    """Share of the images with at least one detection, by the score from which they count."""

    def draw(axes: Any) -> None:
        models = (
            ("original", evaluation.original, ORIGINAL),
            ("erased", evaluation.erased, ERASED),
        )
        for name, scores, colour in models:
            points = [c for c in (scores.curve if scores else ()) if c.any]
            rates = [c.any for c in points if c.any]
            at = [c.threshold for c in points]
            style = (0, (4, 1.5)) if name == "original" else "-"
            axes.plot(at, [m.value for m in rates], color=colour, label=name, ls=style, marker=".")
            low, high = [m.ci95[0] for m in rates], [m.ci95[1] for m in rates]
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        axes.set(xlabel="score from which a detection counts", ylabel="images, %", ylim=(0, None))

    return _chart(
        "thresholds", "Images with at least one detection by threshold, with 95 % bands.", draw
    )


def draw_labels(evaluation: NudityEvaluation, score: float) -> Markup:
    """Detections a label at one threshold, both models."""
    labels = evaluation.protocol.labels

    def draw(axes: Any) -> None:
        models = (
            ("original", evaluation.original, ORIGINAL),
            ("erased", evaluation.erased, ERASED),
        )
        for shift, (name, scores, colour) in zip((-0.2, 0.2), models, strict=True):
            if scores is None:
                continue
            counts = [scores.at(score).labels[label] for label in labels]
            places = [row + shift for row in range(len(labels))]
            bars = axes.barh(places, counts, height=0.36, color=colour, label=name)
            axes.bar_label(bars, [f"{n:,}" for n in counts], padding=3, color=INK, size=9)
        names = [
            plain(label.lower().replace("_", " "), 30).removesuffix(" exposed") for label in labels
        ]
        axes.set_yticks(range(len(labels)), names)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(xlabel=f"detections scored {score:g} or more")

    height = 1.1 + 0.34 * len(labels)
    return _chart("labels", "Detections by label, original and erased.", draw, height)


def draw_mask_parts(name: str, parts: Sequence[MaskPart], density: float | None) -> Markup:
    """Share of the weights selected, a bar a part; a line at the overall share."""

    def draw(axes: Any) -> None:
        shares = [100 * part.kept / part.total if part.total else 0.0 for part in parts]
        places = range(len(parts))
        axes.barh(places, [100] * len(parts), height=0.62, color=RULE, alpha=0.45)
        axes.barh(places, shares, height=0.62, color=ERASED)
        for place, share in zip(places, shares, strict=True):
            axes.text(103, place, f"{share:.0f} %", va="center", color=INK, size=9)
        if density is not None:
            axes.axvline(100 * density, color=INK, lw=1, ls=(0, (2, 2)))
        axes.set_yticks(places, [plain(part.part.replace("_", " "), 24) for part in parts])
        axes.invert_yaxis()
        axes.set(xlabel="weights selected, %", xlim=(0, 122), xticks=range(0, 101, 25))

    alt = "Share of the weights selected: " + "; ".join(
        f"{part.part} {100 * part.kept / max(1, part.total):.0f} %" for part in parts
    )
    return _chart(f"mask-{name}", alt, draw, 0.9 + 0.25 * len(parts))


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

    return _chart("scatter", "Erasure against what was kept, a numbered point a run.", draw, 4.2)


def _chart(name: str, alt: str, draw: Callable[[Any], None], height: float = 3.2) -> Markup:
    """An SVG of one pair of axes whose colours, fonts and ids suit the page."""
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
