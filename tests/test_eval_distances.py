"""Distances between feature sets: hand-worked sums and others' implementations."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest

from eval.metrics.distances import clip_scores, cmmd, frechet, kid, mean, similarities, student_t
from eval.metrics.schema import Metric
from plumbing.errors import UsageError

Distance = Callable[..., Metric]
DISTANCES = pytest.mark.parametrize("distance", [kid, cmmd, frechet])
PAIRED = pytest.mark.parametrize("paired", [True, False])


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def normal(n: int, width: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


def cubic(p: np.ndarray, q: np.ndarray) -> float:
    return (sum(a * b for a, b in zip(p, q, strict=True)) / len(p) + 1) ** 3


def gaussian(p: np.ndarray, q: np.ndarray) -> float:
    return 1000 * math.exp(-(math.dist(p, q) ** 2) / 200)


def plain_mmd2(kernel: Callable[..., float], x: np.ndarray, y: np.ndarray, paired: bool) -> float:
    """The estimators pair by pair, as the papers write them."""
    if paired:
        terms = [
            kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i])
            for i, j in permutations(range(len(x)), 2)
        ]
        return math.fsum(terms) / len(terms)
    within = [[kernel(p, q) for p, q in permutations(part, 2)] for part in (x, y)]
    across = [kernel(p, q) for p, q in product(x, y)]
    return sum(math.fsum(t) / len(t) for t in within) - 2 * math.fsum(across) / len(across)


def test_student_t_is_the_tables() -> None:
    """Tables: 12.7062 (1), 4.30265 (2), 3.18245 (3), 2.77645 (4), 2.09302 (19), 1.98422 (99).

    One degree of freedom is Cauchy's: t = tan(0.95 pi / 2). Two: sin(angle) = 0.95, so that
    t = sqrt(2) * 0.95 / sqrt(1 - 0.9025) = 4.302653.
    """
    table = {1: 12.7062, 2: 4.30265, 3: 3.18245, 4: 2.77645, 19: 2.09302, 99: 1.98422}
    assert {f: student_t(f) for f in table} == pytest.approx(table, abs=5e-5)
    assert student_t(1) == pytest.approx(math.tan(0.475 * math.pi), abs=1e-9)
    assert student_t(2) == pytest.approx(math.sqrt(2 * 0.9025 / 0.0975), abs=1e-9)
    assert student_t(10**6) == pytest.approx(1.959964, abs=1e-5)


def test_mean_of_one_to_four() -> None:
    """1, 2, 3, 4: mean 2.5, s^2 = (2.25 + 0.25) * 2 / 3 = 5 / 3, s / sqrt(4) = 0.6454972.

    t of 3 degrees = 3.1824463, times 0.6454972 = 2.0542603.
    """
    metric = mean([1, 2, 3, 4])
    assert (metric.value, metric.n) == (2.5, 4)
    assert metric.ci95 == pytest.approx((2.5 - 2.0542603, 2.5 + 2.0542603), abs=1e-6)


def test_intervals_of_means_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 3, 4, 7, 8, 30, 501, 4702):
        assert student_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)
    values = normal(57)[:, 0]
    expected = stats.t.interval(0.95, 56, loc=values.mean(), scale=stats.sem(values))
    assert mean(values).ci95 == pytest.approx(expected, abs=1e-9)


def test_similarity_and_clip_score_of_known_angles() -> None:
    """(1, 0) and (2, 0): 1. (1, 0) and (0, 3): 0. (3, 4) and (4, 3): 24 / 25. Opposite: -1."""
    x, y = [(1, 0), (1, 0), (3, 4), (1, 1)], [(2, 0), (0, 3), (4, 3), (-1, -1)]
    assert similarities(x, y) == pytest.approx([1, 0, 0.96, -1], abs=1e-12)
    assert mean(clip_scores(x, y)).value == pytest.approx(100 * 0.96 / 4, abs=1e-9)


def test_kid_of_three_numbers() -> None:
    """x = 0, 1, 2; y = 0, 0, 1; k = (x y + 1)^3.

    Within x: k(0, 1) = k(0, 2) = 1, k(1, 2) = 27: mean 29 / 3. Within y: 1.
    Across, row x = 0: 1 1 1; x = 1: 1 1 8; x = 2: 1 1 27: sum 42, mean 42 / 9.
    Independent: 29 / 3 + 1 - 2 * 42 / 9 = 4 / 3.
    Pairs, without the diagonal 1, 1, 27: sum 13 of 6: 29 / 3 + 1 - 2 * 13 / 6 = 19 / 3.

    Jackknife, independent. Without x = 0: 27 + 1 - 2 * 39 / 6 = 15; without 1: 1 + 1 - 2 * 32 / 6
    = -26 / 3; without 2: 1 + 1 - 2 * 13 / 6 = -7 / 3; mean 4 / 3, squares (1681 + 900 + 121) / 9.
    Without y = 0, twice: 29 / 3 + 1 - 2 * 39 / 6 = -7 / 3; without 1: 29 / 3 + 1 - 2 * 6 / 6 =
    26 / 3; mean 4 / 3, squares (121 + 121 + 484) / 9. Variance = 2 / 3 * (2702 + 726) / 9.
    """
    x, y = column(0, 1, 2), column(0, 0, 1)
    assert kid(x, y, paired=True).value == pytest.approx(19 / 3, abs=1e-12)
    metric = kid(x, y, paired=False)
    spread = math.sqrt(2 / 3 * 3428 / 9) * 4.30265273
    assert (metric.value, metric.n) == (pytest.approx(4 / 3, abs=1e-12), 3)
    assert metric.ci95 == pytest.approx((4 / 3 - spread, 4 / 3 + spread), abs=1e-6)


def test_cmmd_of_three_numbers() -> None:
    """x = 0, 10, 20; y = 0, 0, 0; k = exp(-(x - y)^2 / 200): of 10 e^-0.5, of 20 e^-2.

    Within x (2 e^-0.5 + e^-2) / 3, within y 1, across (1 + e^-0.5 + e^-2) / 3.
    Independent: (1 - e^-2) / 3, times 1000. Pairs: the diagonal is 1, e^-0.5, e^-2, and what is
    left of each row is twice its diagonal, so that the mean across and the result stay the same.
    """
    for paired in (True, False):
        metric = cmmd(column(0, 10, 20), column(0, 0, 0), paired=paired)
        assert metric.value == pytest.approx(1000 * (1 - math.exp(-2)) / 3, abs=1e-9)


def test_frechet_of_three_numbers() -> None:
    """x = 0, 2, 4: mean 2, deviation 2. y = 0, 1, 2: mean 1, deviation 1. 1^2 + (2 - 1)^2 = 2.

    Pairs are left out together. Without the first: means 3 and 1.5, variances 2 and 0.5: 2.25 +
    (sqrt 2 - sqrt 0.5)^2 = 2.75. Without the second: 2 and 1, 8 and 2: 1 + 2 = 3. Without the
    third: 1 and 0.5, 2 and 0.5: 0.25 + 0.5 = 0.75. Their mean is 13 / 6: bias 2 * (13 / 6 - 2)
    = 1 / 3, so that the interval starts below 5 / 3, which the spread takes to 0. Variance = 2 / 3
    * ((7 / 12)^2 + (10 / 12)^2 + (17 / 12)^2) = 2 / 3 * 438 / 144.
    """
    metric = frechet(column(0, 2, 4), column(0, 1, 2), paired=True)
    assert (metric.value, metric.n) == (pytest.approx(2, abs=1e-12), 3)
    high = 2 + 4.30265273 * math.sqrt(2 / 3 * 438 / 144)
    assert metric.ci95 == pytest.approx((0, high), abs=1e-6)


def test_frechet_of_crossed_covariances() -> None:
    """x = (+-3, 0), (0, 0) x 4; y = (0, +-3), (0, 0) x 4: both means 0; with n - 1 = 5 the
    variances are 18 / 5 along different axes. A B = 0: nothing overlaps, and the distance is
    Tr(A) + Tr(B) = 36 / 5.
    """
    x = np.zeros((6, 2))
    x[:2, 0] = 3, -3
    assert frechet(x, x[:, ::-1], paired=False).value == pytest.approx(7.2, abs=1e-12)


@PAIRED
@pytest.mark.parametrize(("distance", "kernel"), [(kid, cubic), (cmmd, gaussian)])
def test_kernel_distances_are_those_of_plain_loops(
    distance: Distance, kernel: Callable[..., float], paired: bool
) -> None:
    x, y = normal(12), normal(12 if paired else 9, seed=1)
    metric = distance(x, y, paired=paired)
    assert metric.value == pytest.approx(plain_mmd2(kernel, x, y, paired), abs=1e-6)
    without = [np.delete(np.arange(len(part)), i) for part in (x, y) for i in range(len(part))]
    if paired:
        leaves = [[plain_mmd2(kernel, x[k], y[k], True) for k in without[:12]]]
    else:
        leaves = [
            [plain_mmd2(kernel, x[k], y, False) for k in without[:12]],
            [plain_mmd2(kernel, x, y[k], False) for k in without[12:]],
        ]
    variance = sum((len(leaf) - 1) * np.var(leaf) for leaf in leaves)
    spread = student_t(len(y) - 1) * math.sqrt(variance)
    assert metric.ci95 == pytest.approx((metric.value - spread, metric.value + spread), abs=1e-6)


def test_kernel_distances_are_those_of_scikit_learns_kernels() -> None:
    kernels = pytest.importorskip("sklearn.metrics.pairwise")
    x, y = normal(150, 16), normal(130, 16, seed=1)
    recipes = (
        (kid, lambda a, b: kernels.polynomial_kernel(a, b, degree=3, gamma=1 / 16, coef0=1)),
        (cmmd, lambda a, b: 1000 * kernels.rbf_kernel(a, b, gamma=1 / 200)),
    )
    for distance, kernel in recipes:
        xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
        expected = xx[~np.eye(150, dtype=bool)].mean() + yy[~np.eye(130, dtype=bool)].mean()
        expected -= 2 * xy.mean()
        assert distance(x, y, paired=False).value == pytest.approx(expected, abs=1e-6)


def test_frechet_is_that_of_scipys_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = normal(80, 12), normal(60, 12, seed=1)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.real(np.trace(linalg.sqrtm(a @ b)))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * root
    assert frechet(x, y, paired=False).value == pytest.approx(expected, abs=1e-6)


def test_too_few_images_for_a_frechet_distance_are_refused() -> None:
    frechet(normal(10), normal(10, seed=1), paired=False)
    with pytest.raises(UsageError, match="5-dimensional features needs 10 images or more a set"):
        frechet(normal(10), normal(9), paired=False)


@DISTANCES
@pytest.mark.parametrize(
    ("x", "y", "paired", "message"),
    [
        (normal(8, 2), normal(7, 2), True, "as many rows each, got 8 and 7"),
        (normal(8, 2), normal(8, 3), False, "rows of one length"),
        (np.zeros(8), np.zeros(8), False, "rows of one length"),
        (normal(2, 1), normal(9, 1), False, "needs 3 images or more a set, got 2 and 9"),
        (column(1, 2, math.nan), column(1, 2, 3), True, "not finite"),
    ],
)
def test_bad_features_are_refused(
    distance: Distance, x: np.ndarray, y: np.ndarray, paired: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        distance(x, y, paired=paired)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="2 numbers or more"):
        mean([1])
    with pytest.raises(UsageError, match="not finite"):
        mean([1, math.inf])
    with pytest.raises(UsageError, match="points nowhere"):
        similarities([(0, 0)], [(1, 0)])
