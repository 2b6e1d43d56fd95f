"""The report's charts of a run: its losses, its drift, its mask."""

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from eval.kind.chart import ERASED, INK, ORIGINAL, RULE, draw_chart
from eval.report.data import MaskPart, Step
from eval.report.training_end import Guard
from plumbing.visible_text import plain

_POINTS = 400
"""Steps of a loss curve that are drawn."""


def draw_losses(steps: Sequence[Step]) -> Markup:
    """Each term of the loss by step."""
    some = steps[:: max(1, len(steps) // _POINTS)]
    names, colours = list(dict.fromkeys(n for s in some for n in s.losses)), (ERASED, ORIGINAL)

    def draw(axes: Any) -> None:
        number = [step.step for step in some]
        for i, name in enumerate(names):
            found = [s.losses.get(name) for s in some]
            values = [math.nan if value is None else value for value in found]
            style = "-" if i == 0 else (0, (4, 1 + i / 2))
            axes.plot(number, values, color=colours[i % 2], label=name, lw=1.3, linestyle=style)
        axes.set(xlabel="step", ylabel="loss", ylim=(0, None))

    return draw_chart("losses", f"Loss by training step: {' and '.join(names)}.", draw)


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
    return draw_chart("drift", alt, draw)


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
    return draw_chart(f"mask-{name}", alt, draw, 0.9 + 0.25 * len(parts))
