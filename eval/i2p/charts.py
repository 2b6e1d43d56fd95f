"""I2P's charts: images with a detection by threshold, detections by label."""

from typing import Any

from markupsafe import Markup

from eval.i2p.results import NudityEvaluation
from eval.kind.chart import ERASED, INK, ORIGINAL, Chart, draw_chart
from plumbing.visible_text import plain


def nudity_charts(evaluation: NudityEvaluation) -> list[Chart]:
    """Both charts, with their captions."""
    score = min(evaluation.protocol.thresholds)
    shares = "Images with at least one detection, by the score from which it counts; bands: 95 %"
    return [
        Chart(shares, _thresholds(evaluation)),
        Chart("Detections by label, at the lowest headline score", _labels(evaluation, score)),
    ]


def _thresholds(evaluation: NudityEvaluation) -> Markup:
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

    return draw_chart(
        "thresholds", "Images with at least one detection by threshold, with 95 % bands.", draw
    )


def _labels(evaluation: NudityEvaluation, score: float) -> Markup:
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
    return draw_chart("labels", "Detections by label, original and erased.", draw, height)
