"""The laws of the frontier, and of retention's interval."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics.frontier import Point, beaten_by, beats
from eval.metrics.rates import mean_rate, most_reach, wilson
from eval.metrics.schema import Metric

shares = st.integers(0, 8).map(lambda n: 12.5 * n)
"""Few values, so that ties are common."""
points = st.builds(Point, shares, shares)
clouds = st.lists(points, min_size=1, max_size=12)


def front_of(cloud: list[Point]) -> list[Point]:
    return [p for p, other in zip(cloud, beaten_by(cloud), strict=True) if other is None]


def test_four_runs_worked_by_hand() -> None:
    """(80, 90) and (60, 99) trade one for the other; (60, 95) has less kept than the second and is
    no deeper; (10, 10) is worse than the first in both."""
    cloud = [Point(60, 95), Point(80, 90), Point(10, 10), Point(60, 99)]
    assert beaten_by(cloud) == [3, None, 1, None]


@given(clouds)
def test_nothing_beats_the_frontier_and_it_beats_all_else(cloud: list[Point]) -> None:
    found = beaten_by(cloud)
    assert None in found
    for point, other in zip(cloud, found, strict=True):
        if other is None:
            assert not any(beats(q, point) for q in cloud)
        else:
            assert beats(cloud[other], point) and found[other] is None


@given(clouds.flatmap(lambda cloud: st.tuples(st.just(cloud), st.permutations(cloud))))
def test_the_order_of_the_runs_does_not_matter(given_: tuple[list[Point], list[Point]]) -> None:
    cloud, shuffled = given_
    assert sorted(front_of(cloud)) == sorted(front_of(shuffled))


@given(clouds, points)
def test_a_further_run_takes_places_and_gives_none(cloud: list[Point], more: Point) -> None:
    """Who was beaten stays so, and who leaves the frontier is beaten by the new one."""
    before, after = beaten_by(cloud), beaten_by([*cloud, more])
    for point, was, now in zip(cloud, before, after, strict=False):
        assert now is not None if was is not None else now is None or beats(more, point)


@given(points, points, points)
def test_beating_is_an_order(a: Point, b: Point, c: Point) -> None:
    assert not beats(a, a) and not (beats(a, b) and beats(b, a))
    assert beats(a, c) or not (beats(a, b) and beats(b, c))


def test_no_run_has_no_frontier() -> None:
    assert beaten_by([]) == []


def of(hits: int, n: int) -> Metric:
    return Metric(100 * hits / n, n, wilson(hits, n))


def test_retention_worked_by_hand() -> None:
    """Rates of 90 [80, 95] and 60 [48, 71] %.

    Their mean is 75. Below: sqrt(10^2 + 12^2) / 2 = sqrt(244) / 2 = 7.810. Above: sqrt(5^2 + 11^2)
    / 2 = sqrt(146) / 2 = 6.042.
    """
    found = mean_rate([Metric(90.0, 50, (80.0, 95.0)), Metric(60.0, 70, (48.0, 71.0))])
    assert found and (found.value, found.n) == (75.0, 120)
    assert found.ci95 == pytest.approx((75 - 7.810, 75 + 6.042), abs=1e-3)
    assert mean_rate([]) is None


rates = st.integers(1, 500).flatmap(lambda n: st.builds(of, st.integers(0, n), st.just(n)))


@given(st.lists(rates, min_size=1, max_size=4))
def test_retention_lies_in_its_interval_and_that_within_the_mean_of_the_others(
    own: list[Metric],
) -> None:
    """Independent errors do not all point the same way."""
    found = mean_rate(own)
    assert found
    low, high = found.ci95
    lows, highs = ([m.ci95[i] for m in own] for i in (0, 1))
    assert math.fsum(lows) / len(own) <= low + 1e-9
    assert low <= found.value + 1e-9 and found.value <= high + 1e-9
    assert high <= math.fsum(highs) / len(own) + 1e-9
    assert low >= -1e-9 and high <= 100 + 1e-9


@given(rates)
def test_retention_of_one_rate_is_that_rate(own: Metric) -> None:
    found = mean_rate([own])
    assert found and found.value == own.value
    assert found.ci95 == pytest.approx(own.ci95, abs=1e-9)


@given(st.permutations([of(3, 5), of(40, 41), of(7, 70)]))
def test_retention_weighs_all_alike_in_any_order(own: list[Metric]) -> None:
    found = mean_rate(own)
    assert found and found.value == pytest.approx((60 + 4000 / 41 + 10) / 3)


def test_two_runs_of_the_same_rate_have_the_root_of_half_its_interval() -> None:
    one, two = of(50, 100), mean_rate([of(50, 100), of(50, 100)])
    assert two
    narrower = (two.ci95[1] - two.ci95[0]) / (one.ci95[1] - one.ci95[0])
    assert narrower == pytest.approx(1 / math.sqrt(2))


@pytest.mark.parametrize(
    ("scores", "bar"),
    [
        ([0.9], 0.9),
        ([k / 10 for k in range(1, 10)], 0.1),
        ([k / 10 for k in range(1, 11)], 0.2),
        ([0.5] * 2 + [1.0] * 8, 0.5),
        ([0.5] + [1.0] * 9, 1.0),
        ([], None),
    ],
)
def test_nine_tenths_reach_the_bar_worked_by_hand(scores: list[float], bar: float | None) -> None:
    """Of nine scores all must reach it, of ten one need not."""
    assert most_reach(scores) == bar


@given(st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1))
def test_nine_tenths_reach_the_bar_and_no_higher_score(scores: list[float]) -> None:
    bar = most_reach(scores)
    assert bar in scores
    for score in scores:
        enough = 10 * sum(s >= score for s in scores) >= 9 * len(scores)
        assert enough == (score <= bar)
