"""Which of several results no other one beats, in two measures at once; pure."""

from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """One result in two measures; of both more is better."""

    x: float
    y: float


def beats(a: Point, b: Point) -> bool:
    """Whether `a` is as good as `b` in both measures, and better in one."""
    return a.x >= b.x and a.y >= b.y and a != b


def beaten_by(points: Sequence[Point]) -> list[int | None]:
    """For each point the place of the first one on the frontier that beats it.

    None for the frontier: the points that no other one beats (Pareto's). It is empty only if there
    are no points, and each other point is beaten by one on it. Equal points are on it together.
    """
    front = [i for i, point in enumerate(points) if not any(beats(q, point) for q in points)]
    return [next((i for i in front if beats(points[i], point)), None) for point in points]
