"""Laws that any distance between feature sets and its interval obeys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.metrics import distances
from eval.metrics.distances import cmmd, frechet, kid, mean
from eval.metrics.schema import Metric

Distance = Callable[..., Metric]
DISTANCES = pytest.mark.parametrize("distance", [kid, cmmd, frechet])
KERNEL_DISTANCES = pytest.mark.parametrize("distance", [kid, cmmd])
PAIRED = pytest.mark.parametrize("paired", [True, False])


def feature_sets(rows: int = 9, width: int = 3) -> st.SearchStrategy[np.ndarray]:
    number = st.floats(-3, 3).map(lambda value: round(value, 6))
    return arrays(np.float64, (rows, width), elements=number)


@DISTANCES
@given(x=feature_sets())
@settings(max_examples=20, deadline=None)
def test_a_set_is_at_no_distance_from_itself(distance: Distance, x: np.ndarray) -> None:
    metric = distance(x, x, paired=True)
    assert (metric.value, *metric.ci95) == pytest.approx((0, 0, 0), abs=1e-6)


@DISTANCES
@PAIRED
@given(x=feature_sets(), y=feature_sets())
@settings(max_examples=20, deadline=None)
def test_distances_are_symmetric(
    distance: Distance, paired: bool, x: np.ndarray, y: np.ndarray
) -> None:
    there, back = distance(x, y, paired=paired), distance(y, x, paired=paired)
    assert there.value == pytest.approx(back.value, abs=1e-6)
    assert there.ci95 == pytest.approx(back.ci95, abs=1e-6)
    assert there.ci95[0] <= there.value <= there.ci95[1]


@DISTANCES
@PAIRED
@given(x=feature_sets(), y=feature_sets(), order=st.permutations(range(9)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_rows_does_not_matter(
    distance: Distance, paired: bool, x: np.ndarray, y: np.ndarray, order: list[int]
) -> None:
    shuffled = distance(x[order], y[order] if paired else y, paired=paired)
    expected = distance(x, y, paired=paired)
    assert shuffled.value == pytest.approx(expected.value, abs=1e-6)
    assert shuffled.ci95 == pytest.approx(expected.ci95, abs=1e-6)


@given(x=feature_sets(), y=feature_sets(), shift=arrays(np.float64, 3, elements=st.floats(-3, 3)))
@settings(max_examples=20, deadline=None)
def test_gaussian_and_frechet_distances_do_not_move_with_the_origin(
    x: np.ndarray, y: np.ndarray, shift: np.ndarray
) -> None:
    for distance in (cmmd, frechet):
        moved = distance(x + shift, y + shift, paired=True).value
        assert moved == pytest.approx(distance(x, y, paired=True).value, abs=1e-6)


@KERNEL_DISTANCES
@PAIRED
def test_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, distance: Distance, paired: bool
) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 23, 5))
    whole = distance(x, y, paired=paired)
    monkeypatch.setattr(distances, "BLOCK", 7)
    blocks = distance(x, y, paired=paired)
    assert (blocks.value, *blocks.ci95) == pytest.approx((whole.value, *whole.ci95), abs=1e-9)


@KERNEL_DISTANCES
def test_kernel_distances_of_one_distribution_are_0_on_average(distance: Distance) -> None:
    rng = np.random.default_rng(0)
    metrics = [distance(*rng.normal(size=(2, 20, 4)), paired=False) for _ in range(200)]
    values = mean([metric.value for metric in metrics])
    assert abs(values.value) < 4 * (values.ci95[1] - values.value) / 1.97
    assert sum(low <= 0 <= high for low, high in (m.ci95 for m in metrics)) >= 180


def test_the_interval_of_frechet_reaches_down_to_the_truth() -> None:
    """Two sets of one distribution: the value is far above 0 at n = 2 d, and the interval not."""
    rng = np.random.default_rng(0)
    metrics = [frechet(*rng.normal(size=(2, 16, 8)), paired=False) for _ in range(40)]
    assert min(metric.value for metric in metrics) > 1
    assert sum(metric.ci95[0] == 0 for metric in metrics) >= 36
