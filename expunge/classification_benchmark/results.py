"""From finished cells to tables: means over seeds, the gap to Retrain, what the mask changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from expunge.classification_benchmark.cells import label
from expunge.classification_benchmark.sklearn_door import student_t

MEASURES = ("ua", "ra", "ta", "mia")
_PAIRS = (("ft", "ft-mask"), ("ga", "ga-mask"), ("rl", "salun"), ("l1_sparse", "l1_sparse-mask"))


@dataclass(frozen=True)
class Value:
    """A mean over seeds with its standard deviation (n - 1; None for one seed)."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """One method on one task."""

    task: str
    share: float | None
    variant: str
    ua: Value
    ra: Value
    ta: Value
    mia: Value
    mia_base: Value
    gap: Value
    """Mean over the seeds of a seed's average gap to its own Retrain, in points."""
    seconds: Value
    """Run-time of making the model, the mask included: CPU seconds of the process."""
    time_share: Value
    """The same as a share of Retrain's on the same seed, in percent."""


@dataclass(frozen=True)
class MaskEffect:
    """Gap with the mask minus gap without, paired by seed."""

    task: str
    method: str
    difference: Value
    ci95: tuple[float, float] | None
    """Student's t interval; None for one seed."""


def gap(scores: Mapping[str, float], retrained: Mapping[str, float]) -> float:
    """The average gap: mean of |x - x of Retrain| over UA, RA, TA and MIA, in points."""
    return mean(abs(scores[m] - retrained[m]) for m in MEASURES)


def summarise(cells: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row a task and variant, over the seeds that have both it and Retrain."""
    by_key = {(c["task"], c["variant"], c["seed"]): c for c in cells}
    rows = []
    for task, variant in dict.fromkeys((c["task"], c["variant"]) for c in cells):
        pairs = [
            (c, by_key[task, "retrain", c["seed"]])
            for c in cells
            if (c["task"], c["variant"]) == (task, variant)
            and (task, "retrain", c["seed"]) in by_key
        ]
        if not pairs:
            continue
        own = [c for c, _ in pairs]
        rows.append(
            Row(
                task=task,
                share=own[0]["share"],
                variant=variant,
                **{m: _value([c[m] for c in own]) for m in (*MEASURES, "mia_base", "seconds")},
                gap=_value([gap(c, r) for c, r in pairs]),
                time_share=_value([100 * c["seconds"] / r["seconds"] for c, r in pairs]),
            )
        )
    return rows


def mask_effects(cells: Sequence[Mapping[str, Any]]) -> list[MaskEffect]:
    """What the mask does to each method's gap, on every task that has both."""
    by_key = {(c["task"], c["variant"], c["seed"]): c for c in cells}
    effects = []
    for task in dict.fromkeys(c["task"] for c in cells):
        seeds = dict.fromkeys(c["seed"] for c in cells if c["task"] == task)
        for plain, masked in _PAIRS:
            known = [
                [by_key.get((task, variant, seed)) for variant in ("retrain", plain, masked)]
                for seed in seeds
            ]
            found = [gap(m, r) - gap(p, r) for r, p, m in known if r and p and m]
            if found:
                value = _value(found)
                effects.append(MaskEffect(task, plain, value, _interval(value)))
    return effects


def to_markdown(cells: Sequence[Mapping[str, Any]]) -> str:
    """A table for each task, and one of the mask's effects."""
    rows, parts = summarise(cells), []
    for task in dict.fromkeys(row.task for row in rows):
        head = ["", "UA", "RA", "TA", "MIA", "gap", "seconds", "of Retrain's"]
        lines = [_cells(row) for row in rows if row.task == task]
        parts.append(f"**{title(task)}**\n\n{_table(head, lines)}")
    effects = mask_effects(cells)
    if effects:
        tasks = list(dict.fromkeys(effect.task for effect in effects))
        found = {(e.task, e.method): _effect(e) for e in effects}
        lines = [
            [label(plain), *(found.get((task, plain), "") for task in tasks)]
            for plain, _ in _PAIRS
            if any((task, plain) in found for task in tasks)
        ]
        note = "Gap with the mask minus gap without, in points, with 95 % intervals"
        parts.append(f"**{note}**\n\n{_table(['', *map(title, tasks)], lines)}")
    return "\n".join(parts)


def to_record(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "rows": [asdict(row) for row in summarise(cells)],
        "mask_effects": [asdict(effect) for effect in mask_effects(cells)],
        "cells": [dict(cell) for cell in cells],
    }


def title(task: str) -> str:
    """A task in words: `random, 10 %`."""
    scenario, _, share = task.partition("-")
    return f"{scenario}, {100 * float(share):g} %" if share else "a class"


def _value(numbers: Sequence[float]) -> Value:
    return Value(mean(numbers), stdev(numbers) if len(numbers) > 1 else None, len(numbers))


def _interval(value: Value) -> tuple[float, float] | None:
    if value.std is None:
        return None
    half = student_t(value.n - 1) * value.std / value.n**0.5
    return value.mean - half, value.mean + half


def _cells(row: Row) -> list[str]:
    cells = [_number(value) for value in (row.ua, row.ra, row.ta, row.mia)]
    gap_ = "" if row.variant == "retrain" else _number(row.gap)
    # The original is no answer to the question, whatever it cost.
    time = ["", ""]
    if row.variant != "original":
        time = [f"{row.seconds.mean:.1f}", f"{row.time_share.mean:.1f} %"]
    return [label(row.variant), *cells, gap_, *time]


def _number(value: Value) -> str:
    return f"{value.mean:.2f}" + ("" if value.std is None else f" ± {value.std:.2f}")


def _effect(effect: MaskEffect) -> str:
    interval = f" [{effect.ci95[0]:+.2f}, {effect.ci95[1]:+.2f}]" if effect.ci95 else ""
    return f"{effect.difference.mean:+.2f}{interval}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
