"""Bars between floor and ceiling, and the curves of what training brings back."""

from typing import Any

from eval.depth.results import AttackEvaluation, AttackScore
from eval.kind.chart import ERASED, INK, ORIGINAL, RULE, Chart, draw_chart


def attack_charts(evaluation: AttackEvaluation) -> list[Chart]:
    """A bar an attack; and of fine-tuning its curves, if it was made."""
    charts = [_bars(evaluation)] if evaluation.erased else []
    relearned = evaluation.erased.get("relearn")
    return charts + ([_curves(evaluation, relearned)] if relearned else [])


def _bars(evaluation: AttackEvaluation) -> Chart:
    names = list(evaluation.erased)[::-1]

    def draw(axes: Any) -> None:
        for place, name in enumerate(names):
            success = evaluation.erased[name].success
            ceiling, floor = evaluation.original.get(name), evaluation.floor.get(name)
            high = ceiling.success.value if ceiling else 100
            low = floor.success.value if floor else 0
            axes.barh(place, high - low, left=low, color=RULE, height=0.6)
            axes.hlines(place, *success.ci95, color=ERASED, linewidth=1)
            axes.plot(success.value, place, "o", color=ERASED)
            axes.plot(high, place, "|", color=ORIGINAL, markersize=14)
            axes.plot(low, place, "|", color=INK, markersize=14)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("images that show the concept, %")

    told = "Each attack between its floor and its ceiling"
    drawing = draw_chart("attacks", told, draw, height=0.7 + 0.4 * len(names))
    caption = (
        f"{told}: the dot is the erased model with its 95 % interval, the right end the original, "
        "the left end a model that never knew the concept (0 where there is none)."
    )
    return Chart(caption, drawing)


def _curves(evaluation: AttackEvaluation, erased: AttackScore) -> Chart:
    def draw(axes: Any) -> None:
        floor = evaluation.floor.get("relearn")
        for score, colour, whose in ((erased, ERASED, "erased"), (floor, INK, "never knew it")):
            for style, form in zip(("-", "--", ":"), _forms(score), strict=False):
                steps, values = zip(*_curve(score, form), strict=True)
                axes.plot(steps, values, style, color=colour, label=f"{whose}: {form}", marker=".")
        axes.set_ylim(-2, 102)
        axes.set_xlabel("steps of fine-tuning")
        axes.set_ylabel("%")

    caption = "Images that show the concept after steps of fine-tuning, at its own prompts."
    return Chart(caption, draw_chart("relearn", caption, draw))


def _forms(score: AttackScore | None) -> list[str]:
    variants = score.variants if score else ()
    return list(dict.fromkeys(v.variant.rpartition(",")[0] for v in variants))


def _curve(score: AttackScore | None, form: str) -> list[tuple[int, float]]:
    variants = score.variants if score else ()
    return [
        (v.step or 0, v.success.value) for v in variants if v.variant.rpartition(",")[0] == form
    ]
