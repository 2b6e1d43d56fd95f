"""What measures have in common that are a distance between two sets of features."""

from collections.abc import Callable, Mapping
from typing import Protocol

from eval.metrics.schema import Metric
from eval.quality.measures.measure import Features, Line, Measure, Plan, Sight


class Distance(Protocol):
    """A distance of two sets [n, width]; None if they are too small for it."""

    def __call__(self, x: Features, y: Features, *, paired: bool) -> Metric | None:
        """`paired`: row i of both is of the same prompt and seed."""
        ...


def frechet_needs(width: int) -> int:
    """Images a set that a Frechet distance of features of this width needs."""
    return 2 * width


def distance_measure(
    name: str,
    title: str,
    digits: int,
    distance: Distance,
    *,
    features: Callable[[Sight], Mapping[str, Features]] = lambda sight: sight.clip,
    note: Callable[[Plan], str] = lambda _: "",
) -> Measure:
    """The measure: to the original's images, which are pairs, and to real ones, which are not."""

    def between(sight: Sight, one: str, other: str) -> Metric | None:
        seen = features(sight)
        if one not in seen or other not in seen:
            return None
        return distance(seen[one], seen[other], paired=other == "original")

    return Measure(
        name,
        better="lower",
        digits=digits,
        change=Line(f"{title} to original", lambda sight, model: between(sight, model, "original")),
        real=Line(f"{title} to real images", lambda sight, model: between(sight, model, "real")),
        note=note,
    )
