"""The table of all methods: seeds are pooled, and distances are of Retrain."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.frontier import cost_of
from benchmarks.frontier_plot import depth, draw, retention
from benchmarks.frontier_table import pooled, to_markdown
from benchmarks.retrain import prediction_distance
from erase.run_folder.record import RunRecord
from eval.metrics.rates import rate
from eval.metrics.schema import Metric
from plumbing.passes import Passes


def metric(hits: int, n: int) -> Metric:
    found = rate([i < hits for i in range(n)])
    assert found is not None
    return found


def as_record(found: Metric) -> dict[str, Any]:
    return {"value": found.value, "n": found.n, "ci95": list(found.ci95)}


def point(row: str, seed: int, hits: int, **more: Any) -> dict[str, Any]:
    scores = {"ua": as_record(metric(hits, 4)), "ira": as_record(metric(4, 4))}
    word = {"learned-word": {"success": as_record(metric(1, 4))}}
    return {
        "row": row,
        "concept": "church",
        "seed": seed,
        "evaluation": {"original": scores, "erased": scores},
        "attack": {"original": word, "erased": word},
        "distance": None,
        **more,
    }


def test_seeds_are_pooled() -> None:
    """3 of 4 and 2 of 4 images are 5 of 8: 62.5 %, with the interval of 8."""
    assert pooled([metric(3, 4), metric(2, 4)]) == metric(5, 8)
    assert pooled([]) is None


def test_a_row_a_method_and_its_mean_cost() -> None:
    """Passes of 100 and 200 have a mean of 150; Retrain was not an erasure and has none."""
    costs = [{"passes": 100, "seconds": 2.0}, {"passes": 200, "seconds": 4.0}]
    points = [point("salun", i, hits, **costs[i]) for i, hits in enumerate((3, 2))]
    text = to_markdown([*points, point("retrain", 0, 4)])
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert "62.5" in lines["salun"] and "150" in lines["salun"] and "| 3 |" in lines["salun"]
    assert "100.0" in lines["retrain"] and "150" not in lines["retrain"]
    # 3 of the same 4 images for either seed; as 6 of 8 the interval would be too narrow.
    low, high = metric(3, 4).ci95
    assert f"75.0 [{low:.1f}, {high:.1f}]" in lines["original"]
    assert "seeds 0, 1" in text and "How far" not in text


def test_the_worst_attack_by_a_text_counts_and_what_is_kept_is_a_mean() -> None:
    """1 of 4 by a word and 3 of 4 by an embedding leave 25 %; relearning is no attack by a text.
    ira 4 of 4 and cra 2 of 4 are 75 % on the mean.
    """
    one = point("salun", 0, 4)
    attacks = {"learned-word": 1, "embedding": 3, "relearn": 4}
    one["attack"]["erased"] = {k: {"success": as_record(metric(n, 4))} for k, n in attacks.items()}
    one["evaluation"]["erased"] = {"ira": as_record(metric(4, 4)), "cra": as_record(metric(2, 4))}
    deep, kept = depth([one]), retention([one])
    assert deep and kept and (deep.value, kept.value) == (25, 75)
    low, high = metric(3, 4).ci95
    assert deep.ci95 == pytest.approx((100 - high, 100 - low))
    ends = [metric(hits, 4).ci95[0] for hits in (4, 2)]
    assert kept.ci95[0] == pytest.approx(
        75 - ((100 - ends[0]) ** 2 + (50 - ends[1]) ** 2) ** 0.5 / 2
    )
    assert depth([{**one, "attack": {"erased": {}}}]) is None
    assert len(draw([one, {**one, "concept": "dog"}]).axes) == 2


def test_sets_from_the_cache_cost_what_drawing_them_costs() -> None:
    """16 images of the probe took 320 passes and 4 s: 160 of the sets take 3,200 and 40 s."""
    record = RunRecord(
        sets={"forget": 32, "retain": 128},
        passes={
            "probe": Passes(denoiser=320, image_decoder=16),
            "sets": Passes(denoiser=3200, image_decoder=160),
            "train": Passes(denoiser=1000),
        },
        seconds={"probe": 4.0, "sets": 40.0, "train": 10.0},
    )
    alone = {"passes": 4520, "seconds": 54.0}
    assert cost_of(record) == alone
    cached = {**record.passes, "sets": Passes()}
    assert cost_of(replace(record, passes=cached, seconds={**record.seconds, "sets": 0})) == alone
    closed = {"probe": record.passes["probe"], "edit": Passes()}
    assert cost_of(replace(record, sets={}, passes=closed, seconds={"probe": 4.0}))["passes"] == 320


def test_retrain_is_at_0_and_the_original_at_100() -> None:
    """Half of the way between them is a quarter of the squared distance: 25 %."""
    generator = torch.Generator().manual_seed(0)
    # As far for each image, so that the mean is without a spread.
    retrain = torch.randn(2, 3, 1, 2, 2, generator=generator)
    original = retrain + 0.5
    told = {"forget": retrain}, {"forget": original}
    of = {
        row: prediction_distance({"forget": said}, *told)["forget"].value
        for row, said in (
            ("retrain", retrain),
            ("original", original),
            ("half", (retrain + original) / 2),
        )
    }
    assert of["retrain"] == 0
    assert of["original"] == pytest.approx(100) and of["half"] == pytest.approx(25)
