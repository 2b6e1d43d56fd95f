"""`expunge compare`: the table, the page, the plane and its frontier."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.attack_runs import add_attack
from support.compared import compared_page, evaluation_of, make_compared, text_of
from support.report_runs import add_concept, make_run

from eval.metrics.rates import mean_rate
from eval.metrics.schema import Metric
from expunge import compare_runs
from expunge.cli import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Those of `make_compared`, in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    return make_compared(tmp_path)


def test_the_table_has_what_was_measured(runs: list[Path]) -> None:
    """By the attack that most surely exceeds its floor, one image of 20: the ceiling is 20.

    Depth of `deep`: (100 - 10) / (100 - 5) = 94.7 %, of `shallow` 25 / 95 = 26.3 %.
    """
    found = compare_runs(*runs)
    deep, shallow, worse = (row["cells"] for row in found["rows"])
    for run, cells in zip(runs, (deep, shallow, worse), strict=True):
        told = {
            k: json.loads(evaluation_of(run, k).read_text())
            for k in ("concept", "attack", "quality")
        }
        for name in ("ua", "ira", "cra", "near", "substitute"):
            assert cells[name] == told["concept"]["erased"][name] is not None
        for name in ("learned-word", "relearn"):
            own = {"success": told["attack"]["erased"][name]["success"]}
            assert cells[f"attack: {name}"] == own | {"depth": told["attack"]["depth"][name]}
        assert cells["CLIP score"] == told["quality"]["erased"]["clip_score"]
        assert cells["CMMD to original"] == told["quality"]["change"]["cmmd"]
        assert (cells["time"], cells["passes"], cells["peak memory"]) == (281.5, 640, 1234.5)
        kept = [Metric(**told["concept"]["erased"][name]) for name in ("ira", "cra", "near")]
        mean = mean_rate(kept)
        assert mean and cells["retention"]["value"] == mean.value
        assert cells["retention"]["ci95"] == pytest.approx(mean.ci95)
    assert deep["depth"]["value"] == pytest.approx(100 * 90 / 95)
    assert shallow["depth"]["value"] == pytest.approx(100 * 25 / 95)
    assert [row["cells"]["frontier"]["on"] for row in found["rows"]] == [True, True, False]
    assert deep["settings that differ"] == {"lr": "1e-05"}
    assert worse["settings that differ"] == {"lr": "3e-05"}
    assert found["differences"] == [] and found["retention_of"] == ["ira", "cra", "near"]
    assert all(row["missing"] == {} for row in found["rows"])
    assert worse["frontier"] == {"on": False, "beaten_by": 2, "clearly": False}
    assert found["standing"][1].endswith("3. worse by 2, within the intervals.")


def test_the_page_shows_frontier_chart_table_and_each_run(runs: list[Path]) -> None:
    shown = compared_page(runs)
    text = text_of(shown)
    for words in (
        "3 runs side by side",
        "On the frontier of depth and retention, by the point estimates: 1. deep (",
        "Beaten (better in neither, worse in one or both): 3. worse by 2, within the intervals.",
        "beaten by 2",
        "retention: mean of ira, cra and near, %",
        "depth, % (100: as if it had never known it)",
        "substitute ↑",
        "strongest attack ↓",
        "expunge evaluate attack deep",
    ):
        assert words in text, words
    assert "Not the same test" not in text and "Why cells are empty" not in text
    assert len([a for a in shown.all("svg") if a.get("class") == "chart"]) == 1
    headings = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1 and shown.open == []
    assert all(b <= a + 1 for a, b in pairwise(headings))
    ids = [attrs["id"] for _, attrs in shown.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    rows = [tag for tag, attrs in shown.elements if tag == "th" and attrs.get("scope") == "row"]
    assert len(rows) >= 3


def test_the_same_runs_give_the_same_bytes_and_their_order_is_kept(runs: list[Path]) -> None:
    to = runs[0].parent / "compare.html"
    compared_page(runs)
    first = to.read_bytes()
    compared_page(runs)
    assert to.read_bytes() == first
    names = [row["run"] for row in compare_runs(*reversed(runs))["rows"]]
    assert names == ["worse", "shallow", "deep"]


@pytest.mark.parametrize("kind", ["html", "md", "json"])
def test_the_file_lies_here_or_where_it_is_told(
    kind: str, runs: list[Path], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here" / f"compare.{kind}"
    place.parent.mkdir()
    monkeypatch.chdir(place.parent)
    words = ["compare", *map(str, runs), "--format", kind]
    assert main(words) == 0
    assert f"comparison: compare.{kind}" in capsys.readouterr().out
    to = tmp_path / "elsewhere" / "x"
    to.parent.mkdir()
    assert main([*words, "--out", str(to), "--json"]) == 0
    assert to.read_bytes() == place.read_bytes()
    printed = json.loads(capsys.readouterr().out)
    assert (printed.pop("compare"), printed.pop("format")) == (str(to), kind)
    if kind == "json":
        assert json.loads(to.read_text()) == printed
    assert str(tmp_path) not in place.read_text()


def test_runs_of_which_one_lacks_depth_are_placed_by_their_strongest_attack(
    runs: list[Path],
) -> None:
    file = evaluation_of(runs[1], "attack")
    data = json.loads(file.read_text())
    del data["models"]["floor"]
    file.write_text(json.dumps(data | {"floor": {}, "depth": {}}))
    found = compare_runs(*runs)
    assert found["erased_by"] == "strongest attack"
    assert [row["cells"]["frontier"]["on"] for row in found["rows"]] == [True, True, False]
    # Less success is better, so the deepest is to the right.
    assert "strongest attack's success, % (right: less)" in compared_page(runs).text


def test_runs_without_attacks_are_placed_by_ua_and_common_rates(tmp_path: Path) -> None:
    """One of a demo has no near, so nobody's near counts."""
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    add_concept(one, near=True)
    add_concept(two, forgotten=0.5, kept=0.5)
    found = compare_runs(one, two, out=tmp_path / "x.html")
    assert (found["erased_by"], found["retention_of"]) == ("ua", ["ira", "cra"])
    assert found["standing"][-1] == "Retention leaves near out, which row 2 lacks."
    assert [row["cells"]["frontier"]["on"] for row in found["rows"]] == [True, False]


def test_markdown_rows_have_the_columns_of_their_head(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a|b"), make_run(tmp_path / "two", "x | y `z` <b> \n\n# head")]
    for run in runs:
        add_concept(run)
        add_attack(run)
    to = tmp_path / "it.md"
    assert main(["compare", *map(str, runs), "--format", "md", "--out", str(to)]) == 0
    text = to.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    bare = [row.replace("\\|", "").count("|") for row in rows]
    assert len(rows) == 4 and len(set(bare)) == 1 and bare[0] > 20
    assert "x \\| y \\`z\\` &lt;b&gt; \\# head" in text
    assert not [line for line in text.splitlines() if line.startswith("# ") and "head" in line]
    assert text.index("NOT THE SAME TEST") < text.index("| run |")


def test_it_needs_no_torch(runs: list[Path]) -> None:
    code = (
        "import sys; from expunge.cli import main; assert main(sys.argv[1:]) == 0;"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    words = ["compare", *map(str, runs)]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def test_who_is_beaten_beyond_the_intervals_is_told_apart(tmp_path: Path) -> None:
    """Of 100 images a rate, 100 % reaches down to 97.4 %: clear of 40 %, not of 98 % (to 99.0)."""
    runs = [make_run(tmp_path / name) for name in ("best", "clear", "close")]
    for run, kept in zip(runs, (1.0, 0.4, 0.98), strict=True):
        add_concept(run, kept=kept, images=100)
    best, clear, close = compare_runs(*runs, out=tmp_path / "x.html")["rows"]
    assert best["cells"]["frontier"] == {"on": True}
    assert clear["cells"]["frontier"] == {"on": False, "beaten_by": 1, "clearly": True}
    assert close["cells"]["frontier"] == {"on": False, "beaten_by": 1, "clearly": False}
