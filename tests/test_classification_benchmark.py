"""The benchmark of classifiers: all of it on digits, resumed, and its arithmetic by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.files import written

from expunge.classification_benchmark.bench import split
from expunge.classification_benchmark.cells import Task, label, variants
from expunge.classification_benchmark.data import read_data
from expunge.classification_benchmark.metrics import attack
from expunge.classification_benchmark.results import gap, mask_effects, summarise, to_markdown
from expunge.cli import main

QUICK = "--dataset digits --epochs 5 --seeds 0 --scenario random class".split()
VARIANTS = "original retrain ft ft-mask ga ga-mask rl l1_sparse l1_sparse-mask salun".split()


def run(out: Path, capsys: Any, *words: str) -> dict[str, Any]:
    """The command's JSON."""
    assert main(["classification", *QUICK, "--out", str(out), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def same_but_for_time(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in cell.items() if k != "seconds"} for cell in cells]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole benchmark on digits, one seed."""
    out = tmp_path_factory.mktemp("classification") / "digits"
    assert main(["classification", *QUICK, "--out", str(out), "--json"]) == 0
    return out


def test_the_whole_benchmark_on_digits(benchmark: Path) -> None:
    tasks = ["random-0.1", "random-0.5", "class"]
    cells = {f"cells/{task}-seed0-{variant}.json" for task in tasks for variant in VARIANTS}
    originals = {"originals/seed0.json", "originals/seed0.safetensors"}
    rest = {"run.json", "results.json", "results.md", "gap.png", "metrics.png"}
    assert set(written(benchmark)) == cells | originals | rest
    results = json.loads((benchmark / "results.json").read_text())
    rows = {(row["task"], row["variant"]): row for row in results["rows"]}
    assert set(rows) == {(task, variant) for task in tasks for variant in VARIANTS}
    assert rows["class", "retrain"]["ua"]["mean"] == 100.0
    assert rows["class", "original"]["ua"]["mean"] < 5
    assert all(rows[task, "retrain"]["gap"]["mean"] == 0 for task in tasks)
    assert all(rows[task, "salun"]["time_share"]["mean"] > 0 for task in tasks)
    first = next(cell for cell in results["cells"] if cell["variant"] == "salun")
    assert first["density"] == 0.5 and first["images"] == {
        "forget": 130,
        "retain": 1170,
        "test": 497,
    }
    assert results["data"]["sha256"].keys() == {"digits"} and "scikit-learn" in results["versions"]
    table = (benchmark / "results.md").read_text()
    assert table.count("| SalUn |") == 3 and "Gap with the mask minus gap without" in table
    assert all(
        (benchmark / name).read_bytes()[:4] == b"\x89PNG" for name in ("gap.png", "metrics.png")
    )
    assert max((benchmark / name).stat().st_size for name in ("gap.png", "metrics.png")) < 100_000


def test_a_model_that_never_saw_the_forget_set_gives_the_attack_its_base_rate(
    benchmark: Path,
) -> None:
    """Retrain on 650 digits: forgotten (650) and untried test images (249) are alike to it.

    At a rate of p the two shares' difference has a variance of p (1 - p) (1/650 + 1/249).
    """
    cell = json.loads((benchmark / "cells/random-0.5-seed0-retrain.json").read_text())
    rate = cell["mia_base"] / 100
    spread = 100 * math.sqrt(max(rate, 0.02) * (1 - rate) * (1 / 650 + 1 / 249))
    assert abs(cell["mia"] - cell["mia_base"]) < 4 * spread


def test_finished_cells_are_kept_and_others_are_added(benchmark: Path, capsys: Any) -> None:
    before = written(benchmark)
    record = run(benchmark, capsys)
    after = written(benchmark)
    assert len(record["cells"]) == 30
    kept = [name for name in before if name.startswith(("cells", "originals"))]
    assert all(after[name] == before[name] for name in kept)
    lost = benchmark / "cells" / "random-0.1-seed0-salun.json"
    was = json.loads(lost.read_text())
    lost.unlink()
    words = ("--forget-share", "0.1", "0.2", "--methods", "salun", "--mask", "with")
    record = run(benchmark, capsys, *words)
    assert same_but_for_time([json.loads(lost.read_text())]) == same_but_for_time([was])
    assert {cell["task"] for cell in record["cells"]} == {"random-0.1", "random-0.2", "class"}
    assert {cell["variant"] for cell in record["cells"]} == {"original", "retrain", "salun"}
    assert all(
        written(benchmark)[name] == before[name] for name in kept if "0.1-seed0-salun" not in name
    )


def test_the_same_seed_gives_the_same_table(benchmark: Path, capsys: Any, tmp_path: Path) -> None:
    words = ("--scenario", "random", "--forget-share", "0.1", "--methods", "ft", "salun")
    again = run(tmp_path / "again", capsys, *words)
    first = run(benchmark, capsys, *words)
    assert len(first["cells"]) == 5
    assert same_but_for_time(again["cells"]) == same_but_for_time(first["cells"])


def test_other_settings_in_a_used_folder_are_refused(benchmark: Path, capsys: Any) -> None:
    before = written(benchmark)
    assert main(["classification", *QUICK, "--out", str(benchmark), "--density", "0.3"]) == 2
    error = capsys.readouterr().err
    assert "config.density: None there, 0.3 now" in error and error.count("\n") == 1
    assert written(benchmark) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--forget-share 0", "--forget-share must be above 0 and below 1, not 0.0"),
        ("--forget-share 1", "--forget-share must be above 0 and below 1, not 1.0"),
        ("--forget-share 0.1 0.1", "--forget-share has the same value twice"),
        ("--density 0", "--density must be above 0"),
        ("--seeds -1", "--seed must be from 0"),
        ("--forget-class 10", "--forget-class must be 0 to 9"),
        ("--forget-share 0.0001", "--forget-share 0.0001: no image of 1300"),
        ("--train-images 2000", "--train-images 2000: digits has 1300"),
        ("--dataset fashion-mnist", "--data is missing"),
        ("--dataset fashion-mnist --data nowhere", "--data nowhere: no such folder"),
        ("--methods salum", "salum"),
        ("--device cuda:7", "--device cuda:7: not usable here"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: str, message: str, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["classification", "--dataset", "digits", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("expunge: error: ") and captured.err.count("\n") == 1
    assert message in captured.err and captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_scikit_learn_one_line_says_how_to_get_it(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.svm", None)
    monkeypatch.chdir(tmp_path)
    assert main(["classification", "--dataset", "digits"]) == 2
    assert "pip install 'expunge[classification]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_splits_divide_the_images_and_nest() -> None:
    data = read_data("digits", None, None)
    small, large = (split(data, Task("random", share), 0, 7) for share in (0.1, 0.5))
    assert (len(small.forget), len(small.retain)) == (130, 1170)
    assert torch.equal(small.forget.images, large.forget.images[:130])
    rows = torch.cat([small.forget.images, small.retain.images]).flatten(1)
    torch.testing.assert_close(rows.sum(0), data.train.images.flatten(1).sum(0), rtol=0, atol=1e-2)
    gone = split(data, Task("class"), 3, 7)
    assert (gone.forget.labels == 3).all()
    assert not (gone.retain.labels == 3).any() and not (gone.test.labels == 3).any()
    assert len(gone.forget) + len(gone.retain) == 1300


def test_the_attack_tells_members_from_others_and_is_at_its_base_rate_for_strangers() -> None:
    """Members have 0.9 to 1, others 0 to 0.5: all are told apart."""
    generator = np.random.default_rng(0)
    members, others = generator.uniform(0.9, 1, 5000), generator.uniform(0, 0.5, 3000)
    assert attack(members[:500], members, others, seed=0) == (0.0, 100.0)
    assert attack(others[:500], members, others, seed=0) == (100.0, 100.0)
    mixed = generator.beta(4, 1, (3, 4000))
    mia, base = attack(mixed[0], 1 - (1 - mixed[1]) / 2, mixed[2], seed=0)
    assert 20 < base < 80 and abs(mia - base) < 4


def cell(variant: str, seed: int, ua: float, mia: float, seconds: float = 2.0) -> dict[str, Any]:
    scores = {"ua": ua, "ra": 100.0, "ta": 90.0, "mia": mia, "mia_base": 20.0}
    task = {"task": "random-0.1", "share": 0.1, "variant": variant, "seed": seed}
    return {**task, **scores, "seconds": seconds}


def test_gaps_means_and_intervals_by_hand() -> None:
    """Retrain 10, 100, 90, 20. RL: UA 6, MIA 32: (4 + 0 + 0 + 12) / 4 = 4; then UA 8, MIA 24:
    (2 + 4) / 4 = 1.5. Mean 2.75, deviation sqrt(2 * 1.25^2) = 1.768. SalUn: 1 and 0.5. With the
    mask -3 and -1: mean -2, deviation sqrt(2); t(1) = 12.706; -2 ± 12.706 * sqrt(2) / sqrt(2).
    """
    cells = [
        cell("retrain", 0, 10, 20, 40.0),
        cell("rl", 0, 6, 32),
        cell("salun", 0, 10, 24),
        cell("retrain", 1, 10, 20, 20.0),
        cell("rl", 1, 8, 24),
        cell("salun", 1, 12, 20),
        cell("rl", 2, 0, 0),
    ]
    assert gap(cells[1], cells[0]) == 4 and gap(cells[0], cells[0]) == 0
    rows = {row.variant: row for row in summarise(cells)}
    assert rows["rl"].gap.mean == 2.75 and rows["rl"].gap.std == pytest.approx(1.25 * math.sqrt(2))
    assert rows["rl"].ua.n == 2 and rows["salun"].gap.mean == 0.75
    assert rows["rl"].time_share.mean == pytest.approx((5 + 10) / 2)
    (effect,) = mask_effects(cells)
    assert (effect.method, effect.difference.mean) == ("rl", -2.0)
    assert effect.ci95 == pytest.approx((-2 - 12.7062, -2 + 12.7062), abs=1e-3)
    text = to_markdown(cells)
    assert (
        "| RL | 7.00 ± 1.41 | 100.00 ± 0.00 | 90.00 ± 0.00 | 28.00 ± 5.66 | 2.75 ± 1.77 |" in text
    )
    assert "| RL | -2.00 [-14.71, +10.71] |" in text


def test_a_mask_plugs_into_all_but_retrain_and_rl_with_it_is_salun() -> None:
    every = variants(("retrain", "ft", "ga", "rl", "l1_sparse", "salun"), "both")
    assert len(every) == len(set(every)) == 8 and ("salun", True) in every
    assert ("rl", True) not in every and all(method != "retrain" for method, _ in every)
    assert variants(("rl", "ft"), "with") == [("ft", True), ("salun", True)]
    assert variants(("rl", "salun", "ft"), "without") == [
        ("ft", False),
        ("rl", False),
        ("salun", True),
    ]
    assert label("l1_sparse-mask") == "l1-sparse + mask" and label("salun") == "SalUn"


@pytest.mark.parametrize("command", ["verify", "report", "export", "evaluate concept", "compare"])
def test_other_commands_say_that_it_is_no_erasure(
    benchmark: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = [str(benchmark.parent)] if command == "compare" else []
    assert main([*command.split(), str(benchmark), *beside]) == 2
    assert "of `expunge classification`, whose results are in" in capsys.readouterr().err
