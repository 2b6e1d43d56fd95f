"""Rates and intervals against hand-worked numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.concept.scores import Judgement, score
from eval.metrics.rates import change, rate, wilson
from eval.metrics.schema import Metric


def judge(split: str, label: str, model: str = "erased", expected: str = "church") -> Judgement:
    domain = "style" if split == "cross" else "object"
    return Judgement("00000", model, split, domain, (expected,), label, 0.9)  # type: ignore[arg-type]


def test_wilson_of_eight_in_ten() -> None:
    """p = 0.8, n = 10, z = 1.96, z2 = 3.8415.

    centre = (0.8 + 3.8415 / 20) / (1 + 0.38415) = 0.99207 / 1.38415 = 0.71674
    spread = 1.96 * sqrt(0.8 * 0.2 / 10 + 3.8415 / 400) / 1.38415
           = 1.96 * sqrt(0.016 + 0.0096036) / 1.38415 = 0.31362 / 1.38415 = 0.22657
    """
    assert wilson(8, 10) == pytest.approx((49.017, 94.331), abs=0.005)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_mirrors_with_it(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= 100 * successes / n <= high <= 100
    assert wilson(n - successes, n) == pytest.approx((100 - high, 100 - low), abs=1e-9)


def test_more_images_narrow_the_interval() -> None:
    widths = [high - low for low, high in (wilson(n // 2, n) for n in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("counts", [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_rate_is_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no rate"):
        wilson(*counts)


def test_nothing_judged_is_no_metric() -> None:
    assert rate([]) is None
    assert change(None, Metric(1.0, 1, (0.0, 100.0))) is None


def test_ua_counts_what_is_gone_and_ira_cra_what_is_kept() -> None:
    """Forget: church, dog, dog, dog -> 3 of 4 are no church, ua 75.

    Retain: asked dog, seen dog and cat -> ira 50. Cross: asked night, seen night -> cra 100.
    """
    judgements = [judge("forget", label) for label in ("church", "dog", "dog", "dog")]
    judgements += [judge("retain", label, expected="dog") for label in ("dog", "cat")]
    judgements += [judge("cross", "night", expected="night")]
    judgements += [judge("forget", "church", model="original")]
    erased, original = score(judgements, "erased"), score(judgements, "original")
    assert erased.ua and erased.ira and erased.cra and original.ua
    assert (erased.ua.value, erased.ua.n) == (75.0, 4)
    assert (erased.ira.value, erased.cra.value) == (50.0, 100.0)
    assert original.ua.value == 0.0
    assert original.ira is None
    assert change(original.ua, erased.ua) == 75.0
