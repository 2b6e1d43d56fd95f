"""Pure arithmetic: from judged images to rates with their intervals; no torch."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.metrics.schema import Metric

Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of successes / n, in percent; exact 0 and 100 at the ends."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n} is no rate")
    share = successes / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)
    return (0.0 if successes == 0 else 100 * low, 100.0 if successes == n else 100 * high)


def rate(outcomes: Iterable[bool]) -> Metric | None:
    """Share of true outcomes in percent with its 95 % interval; None if there are none."""
    outcomes = list(outcomes)
    if not outcomes:
        return None
    successes, n = sum(outcomes), len(outcomes)
    return Metric(value=100 * successes / n, n=n, ci95=wilson(successes, n))


def most_reach(scores: Iterable[float]) -> float | None:
    """The highest of the scores that at least nine tenths of them reach; None of none.

    The tenth part, rounded down, of the sorted scores is left below it: no interpolation.
    """
    ordered = sorted(scores)
    return ordered[len(ordered) // 10] if ordered else None


def change(original: Metric | None, erased: Metric | None) -> float | None:
    """Erased minus original in percentage points; None if either is missing."""
    return None if original is None or erased is None else erased.value - original.value


@dataclass(frozen=True)
class Difference:
    """Erased minus original in percentage points, with its 95 % interval."""

    value: float
    ci95: tuple[float, float]


def difference(original: Metric | None, erased: Metric | None) -> Difference | None:
    """Change of a rate with Newcombe's hybrid score interval; None if either rate is missing.

    The interval comes from the rates' own Wilson intervals and takes the two sets of images as
    independent. Ours share prompts and seeds, so it is mostly wider than it need be.
    """
    if original is None or erased is None:
        return None
    (low0, high0), (low1, high1) = original.ci95, erased.ci95
    moved = erased.value - original.value
    down = math.hypot(erased.value - low1, high0 - original.value)
    up = math.hypot(high1 - erased.value, original.value - low0)
    return Difference(moved, (moved - down, moved + up))


def mean_rate(rates: Sequence[Metric]) -> Metric | None:
    """The mean of rates of different images, weighed alike, with its 95 % interval; None of none.

    The interval is put together from the rates' own, as Newcombe's of a difference is (Zou & Donner
    2008, Statistics in Medicine 27): below the mean lies the root of the sum of squares of the
    distances to the lower ends, over the number of rates, and likewise above it. So it stays within
    0 and 100. `n` counts the images of all.
    """
    if not rates:
        return None
    centre = sum(m.value for m in rates) / len(rates)
    down = math.hypot(*(m.value - m.ci95[0] for m in rates)) / len(rates)
    up = math.hypot(*(m.ci95[1] - m.value for m in rates)) / len(rates)
    return Metric(centre, sum(m.n for m in rates), (centre - down, centre + up))


def cell(metric: Metric | None, digits: int = 1) -> str:
    """A metric as `97.1 [95.0, 98.4]`, or a dash."""
    if metric is None:
        return "-"
    value, low, high = (f"{x:.{digits}f}" for x in (metric.value, *metric.ci95))
    return f"{value} [{low}, {high}]"
