"""How far two sets of image features lie apart, and how sure that is; numpy alone, no torch.

Features are rows, float [n, d]. `paired` says how two sets belong together: rows i of both come
from one prompt and seed (original against erased), or all the rows are drawn independently (a
model's images against real ones). Pairs are left out and put back together, never apart.

Intervals: means have Student's closed form. Kernel and Frechet distances have the jackknife's,
which leaves rows out, and never a bootstrap's, which draws rows twice: a duplicate sits at
distance 0 from its twin and takes the place of another row, so that the kernel means within a set
rise, the covariances lose rank, and every resample is further from the other set than the data
are. That bias is as large as the distances between good models.

The jackknife overstates the spread where two sets hardly differ: its intervals are then too wide.
Every row counts as one independent draw; of several images a prompt, give the mean or one.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.metrics.schema import Metric
from plumbing.errors import UsageError

Array = NDArray[np.float64]
Kernel = Callable[[Array, Array], Array]

CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
FEWEST = 3
"""Rows that a jackknife of variances needs: two must be left."""
GROUPS = 20
"""Parts of a set that the Frechet distance leaves out in turn."""
BLOCK = 1024
"""Rows of a kernel matrix that are held at a time."""


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t, by bisection of its closed form.

    P(|T| < t) is a finite series in the angle arctan(t / sqrt(freedom)): Abramowitz and Stegun,
    26.7.3 and 26.7.4.
    """
    odd = freedom % 2
    steps = np.arange(2 + odd, freedom - 1, 2)
    factors = np.concatenate(([1.0], np.cumprod((steps - 1) / steps)))[: freedom // 2]

    def within(angle: float) -> float:
        cosine = math.cos(angle)
        powers = cosine ** (2 * np.arange(len(factors)) + odd)
        series = math.sin(angle) * float(factors @ powers)
        return 2 / math.pi * (angle + series) if odd else series

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 0.95 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def mean(values: ArrayLike) -> Metric:
    """Mean of one number an image, with Student's interval: mean ± t s / sqrt(n)."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise UsageError(f"a mean with its interval needs 2 numbers or more, got {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise UsageError("a value to be averaged is not finite")
    centre, n = float(numbers.mean()), len(numbers)
    spread = student_t(n - 1) * float(numbers.std(ddof=1)) / math.sqrt(n)
    return Metric(value=centre, n=n, ci95=(centre - spread, centre + spread))


def similarities(x: ArrayLike, y: ArrayLike) -> Array:
    """Cosine of every pair of rows, -1 to 1: original and erased image of one prompt and seed."""
    a, b = _features(x, y, paired=True, fewest=1)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not lengths.all():
        raise UsageError("a feature vector is zero and points nowhere")
    return np.clip(np.einsum("id,id->i", a, b) / lengths, -1, 1)


def clip_scores(images: ArrayLike, texts: ArrayLike) -> Array:
    """100 x cosine of every image and its prompt; `mean` of them is the CLIP score.

    Hessel et al. 2021 (arXiv 2104.08718) without their factor of 2.5 and their cut at 0.
    """
    return 100 * similarities(images, texts)


def kid(x: ArrayLike, y: ArrayLike, *, paired: bool) -> Metric:
    """Kernel distance with (x.y / d + 1)^3, unbiased: Binkowski et al. 2018, arXiv 1801.01401.

    Their kernel is for features of length sqrt(d) or so. On unit vectors it is all but linear and
    sees little beyond the means; give them as sqrt(d) x, which makes it (1 + cosine)^3.
    """
    return _mmd2(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3, x, y, paired=paired)


def cmmd(x: ArrayLike, y: ArrayLike, *, paired: bool) -> Metric:
    """Gaussian kernel distance of unit CLIP features: Jayasumana et al. 2024, arXiv 2401.09603.

    1000 x MMD^2, sigma 10, unbiased. The authors' program keeps every image's kernel with itself,
    which on independent sets adds 1000 (1 - mean kernel) (1 / m + 1 / n): nothing at their
    30,000 images, much at a few hundred. Only values from one CLIP model can be compared.
    """

    def gaussian(a: Array, b: Array) -> Array:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return np.exp(-squares / (2 * CMMD_SIGMA**2))

    return _mmd2(gaussian, x, y, paired=paired, scale=CMMD_SCALE)


def frechet(x: ArrayLike, y: ArrayLike, *, paired: bool) -> Metric:
    """Frechet distance of the normal distributions fitted to both sets: Heusel et al. 2017.

    Refused where a set has fewer than twice as many rows as features have dimensions. The value
    is the usual one (arXiv 1706.08500), which overstates the distance the more, the fewer the
    rows; compare it at equal n only. The interval therefore reaches down to the jackknife's own
    correction of that bias.
    """
    a, b = _features(x, y, paired=paired)
    n, width = min(len(a), len(b)), a.shape[1]
    if n < 2 * width:
        raise UsageError(
            f"a Frechet distance of {width}-dimensional features needs {2 * width} images or more "
            f"a set, got {n}; take more images, KID or CMMD"
        )
    groups, whole_a, whole_b = min(GROUPS, n), _fit(a), _fit(b)
    value = _frechet(whole_a, whole_b)
    a_without, b_without = _without(a, groups), _without(b, groups)
    if paired:
        pairs = zip(a_without, b_without, strict=True)
        replicates = [[_frechet(_fit(p), _fit(q)) for p, q in pairs]]
    else:
        replicates = [
            [_frechet(_fit(p), whole_b) for p in a_without],
            [_frechet(whole_a, _fit(q)) for q in b_without],
        ]
    bias = sum((groups - 1) * (float(np.mean(part)) - value) for part in replicates)
    spread = student_t(groups - 1) * _jackknife_error(replicates)
    low, high = min(value, value - bias) - spread, value + spread
    return Metric(value=value, n=n, ci95=(max(0.0, low), high))


def _features(
    x: ArrayLike, y: ArrayLike, *, paired: bool, fewest: int = FEWEST
) -> tuple[Array, Array]:
    """Both sets in float64, or a UsageError that says what they lack."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise UsageError(f"features are rows of one length, got {a.shape} and {b.shape}")
    if paired and len(a) != len(b):
        raise UsageError(f"paired features need as many rows each, got {len(a)} and {len(b)}")
    if min(len(a), len(b)) < fewest:
        raise UsageError(f"needs {fewest} images or more a set, got {len(a)} and {len(b)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UsageError("a feature is not finite")
    return a, b


def _jackknife_error(replicates: Sequence[ArrayLike]) -> float:
    """Standard error from the estimates without each part, one list for every independent set."""
    parts = [np.asarray(part, dtype=np.float64) for part in replicates]
    return math.sqrt(sum((len(part) - 1) * float(part.var()) for part in parts))


def _mmd2(kernel: Kernel, x: ArrayLike, y: ArrayLike, *, paired: bool, scale: float = 1) -> Metric:
    """Unbiased squared MMD, below 0 by chance where the sets agree; the delete-one jackknife.

    Gretton et al. 2012 (JMLR 13): equation 3 for independent sets. For pairs the U-statistic of
    equation 4, without k(x_i, y_i): two images of one seed resemble each other, which would make
    the distance too small. It is 0 for a set and itself.
    """
    a, b = _features(x, y, paired=paired)
    m, n = len(a), len(b)
    aa, _ = _kernel_sums(kernel, a, a, skip_own=True)
    bb, _ = _kernel_sums(kernel, b, b, skip_own=True)
    ab, ba = _kernel_sums(kernel, a, b, skip_own=paired)
    if paired:
        rows = aa + bb - ab - ba
        value = rows.sum() / (n * (n - 1))
        replicates = [(rows.sum() - 2 * rows) / ((n - 1) * (n - 2))]
    else:
        within_a, within_b = aa.sum() / (m * (m - 1)), bb.sum() / (n * (n - 1))
        value = within_a + within_b - 2 * ab.sum() / (m * n)
        replicates = [
            _left_out(aa) + within_b - 2 * (ab.sum() - ab) / ((m - 1) * n),
            within_a + _left_out(bb) - 2 * (ba.sum() - ba) / (m * (n - 1)),
        ]
    centre, count = scale * float(value), min(m, n)
    spread = scale * student_t(count - 1) * _jackknife_error(replicates)
    return Metric(value=centre, n=count, ci95=(centre - spread, centre + spread))


def _left_out(rows: Array) -> Array:
    """Mean kernel of two distinct rows, without each row in turn, from the sums of the rows."""
    n = len(rows)
    return (rows.sum() - 2 * rows) / ((n - 1) * (n - 2))


def _kernel_sums(kernel: Kernel, a: Array, b: Array, *, skip_own: bool) -> tuple[Array, Array]:
    """Row and column sums of the kernel matrix, a block at a time, maybe without the diagonal."""
    rows, columns = np.zeros(len(a)), np.zeros(len(b))
    for start in range(0, len(a), BLOCK):
        block = kernel(a[start : start + BLOCK], b)
        if skip_own:
            own = np.arange(len(block))
            block[own, start + own] = 0
        rows[start : start + len(block)] = block.sum(1)
        columns += block.sum(0)
    return rows, columns


def _fit(part: Array) -> tuple[Array, Array]:
    """The mean, and R of the unbiased covariance R'R: a normal distribution, fitted."""
    centre = part.mean(0)
    return centre, np.asarray(np.linalg.qr(part - centre, mode="r")) / math.sqrt(len(part) - 1)


def _frechet(a: tuple[Array, Array], b: tuple[Array, Array]) -> float:
    """|mu_a - mu_b|^2 + Tr(A) + Tr(B) - 2 Tr((A B)^1/2) with the unbiased covariances A and B.

    With A = R'R and B = S'S the last trace is the sum of the singular values of R S', which needs
    no root of a matrix and no root of a negative rounding error.
    """
    (mean_a, factor_a), (mean_b, factor_b) = a, b
    overlap = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    traces = float((factor_a**2).sum()) + float((factor_b**2).sum())
    shift = float(((mean_a - mean_b) ** 2).sum())
    return max(0.0, shift + traces - 2 * float(overlap))


def _without(part: Array, groups: int) -> Iterator[Array]:
    """The set without each of its groups of rows; row i is in group i modulo `groups`."""
    group = np.arange(len(part)) % groups
    # One at a time: twenty copies of an FID's features would be gigabytes.
    return (part[group != index] for index in range(groups))
