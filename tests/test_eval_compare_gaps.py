"""What is unlike or missing in runs side by side is said, and what cannot be read is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.compared import compared_page, evaluation_of, make_compared, text_of
from support.report_runs import add_concept, make_run

from expunge import compare_runs
from expunge.cli import main


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Those of `make_compared`, in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    return make_compared(tmp_path)


def test_what_is_unlike_is_said_before_any_figure(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "dog", base="some/model", method="uce")
    record = json.loads((other / "run.json").read_text())
    record["base"]["digest"] = "f" * 64
    (other / "run.json").write_text(json.dumps(record))
    add_concept(other, name="demo-2", seed=7, steps=10, near=True)
    found = compare_runs(*runs[:2], other)
    assert found["differences"] == [
        "original model: miniature (0123456789ab) in rows 1 and 2; some/model (ffffffffffff) in "
        "row 3",
        "concept: church in rows 1 and 2; dog in row 3",
        "Concept, protocol: full in rows 1 and 2; demo-2 in row 3",
        "Concept, seed: 0 in rows 1 and 2; 7 in row 3",
        "Concept, steps: 25 in rows 1 and 2; 10 in row 3",
    ]
    shown = compared_page([*runs[:2], other])
    text = text_of(shown)
    assert text.index("Not the same test") < text.index("Concept, seed: 0") < text.index("ua ↑")
    assert "Not placed, for lack of figures: 3. other." in text


def test_other_judges_and_prompts_are_told(runs: list[Path]) -> None:
    file = evaluation_of(runs[1], "concept")
    data = json.loads(file.read_text())
    data["judges"]["object"] = {"name": "another", "sha256": "e" * 64}
    file.write_text(json.dumps(data))
    (line,) = compare_runs(*runs)["differences"]
    assert line.startswith("Concept, judge of objects: judge/object (0123456789ab) in rows 1 and 3")
    data["judges"]["object"] = json.loads(evaluation_of(runs[0], "concept").read_text())["judges"][
        "object"
    ]
    data["protocol"]["rows_sha256"] = "d" * 64
    file.write_text(json.dumps(data))
    (line,) = compare_runs(*runs)["differences"]
    assert line == "Concept, prompts: 0123456789ab in rows 1 and 3; dddddddddddd in row 2"


def test_the_same_model_and_judge_under_another_name_are_the_same(
    runs: list[Path], tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", base="a-copy")
    add_concept(other, near=True)
    file = evaluation_of(other, "concept")
    data = json.loads(file.read_text())
    data["judges"]["object"]["name"] = "a copy"
    file.write_text(json.dumps(data))
    assert compare_runs(*runs, other)["differences"] == []


def test_an_empty_cell_says_what_fills_it_as_its_neighbours_were(
    runs: list[Path], tmp_path: Path
) -> None:
    bare = make_run(tmp_path / "bare")
    found = compare_runs(runs[0], bare)
    missing = found["rows"][1]["missing"]
    assert missing["ua"]["command"].startswith("expunge evaluate concept RUN --sampler ddim")
    attack = "expunge evaluate attack RUN --attacks learned-word relearn --budget quick --floor"
    assert missing["depth"]["command"].startswith(attack)
    assert missing["CLIP score"]["command"].endswith("--images 12")
    assert missing["frontier"] == {"why": "depth or retention is not known", "command": None}
    text = text_of(compared_page([runs[0], bare]))
    assert "Why cells are empty" in text and attack in text and "- (a)" in text


@pytest.mark.parametrize(
    ("column", "why", "flags"),
    [
        ("near", "the demo protocol does not draw it", "--protocol bench"),
        ("depth", "no floor was given", "--floor MODEL"),
        ("attack: relearn", "not all of the attacks", "--attacks learned-word relearn"),
    ],
)
def test_a_cell_that_an_evaluation_leaves_empty_says_why(
    column: str, why: str, flags: str, runs: list[Path]
) -> None:
    add_concept(runs[1], name="demo-2")
    file = evaluation_of(runs[1], "attack")
    data = json.loads(file.read_text())
    del data["models"]["floor"], data["erased"]["relearn"]
    file.write_text(json.dumps(data | {"floor": {}, "depth": {}}))
    missing = compare_runs(*runs)["rows"][1]["missing"][column]
    assert why in missing["why"] and flags in missing["command"]
    assert missing["command"].endswith(" --overwrite")


def test_evaluations_of_a_model_that_no_run_made_are_a_row(runs: list[Path]) -> None:
    """In either of the places that people choose; nothing is known of their making."""
    root = runs[0].parent
    add_concept(root, place=root / "model" / "concept")
    add_concept(root, place=root / "alone", original=False)
    found = compare_runs(runs[0], root / "model", root / "alone")
    model, alone = found["rows"][1:]
    assert model["run"] == "model" and model["cells"]["concept"] == "church"
    assert model["cells"]["ua"]["value"] == 100 and model["level"] == "caution"
    assert model["missing"]["time"]["why"].startswith("not a run folder")
    command = model["missing"]["depth"]["command"]
    assert command.startswith("expunge evaluate attack MODEL --attacks")
    assert command.endswith("--baseline BASE --concept church --out model/attack")
    assert "row 3" in found["differences"][0] and "unknown" in found["differences"][0]
    assert alone["cells"]["substitute"] is None
    assert "not finished" not in compared_page([runs[0], root / "model"]).text


def test_two_evaluations_of_one_kind_are_ambiguous(tmp_path: Path, capsys: Any) -> None:
    run = make_run(tmp_path / "run")
    for place in ("x/concept", "x"):
        add_concept(run, place=tmp_path / place)
    assert main(["compare", str(run), str(tmp_path / "x")]) == 2
    assert "two of one kind; which is meant?" in capsys.readouterr().err


def test_runs_that_are_none_yet_say_so(runs: list[Path], tmp_path: Path) -> None:
    mask = make_run(tmp_path / "mask", command="mask", config={"density": 0.3})
    begun = make_run(tmp_path / "begun", finished=None)
    rows = compare_runs(runs[0], mask, begun)["rows"]
    assert rows[1]["missing"]["ua"] == {"why": "a mask is no model", "command": None}
    assert rows[2]["missing"]["ua"] == {"why": "the run is not finished", "command": None}
    assert [row["cells"]["verdict"] for row in rows[1:]] == ["Nothing erased", "Not finished"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "RUN is missing"),
        (["run"], "`expunge report` it"),
        (["run", "nothing"], "holds no run.json, and no evaluation.json"),
        (["run", "empty"], "holds no run.json, and no evaluation.json"),
        (["run", "run.txt"], "is a file; give run folders"),
        (["run", "./run"], "given twice"),
        (["run", "half"], "not a readable"),
        (["run", "other", "--out", "."], "is a folder"),
        (["run", "other", "--out", "run.txt/x.html"], "cannot be written"),
        (["run", "other", "--format", "pdf"], "--format"),
        (["run", "other", "--to", "x.html"], "--to"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"))
    make_run(Path("other"))
    Path("run.txt").touch()
    Path("empty").mkdir()
    Path("half").mkdir()
    Path("half/evaluation.json").write_text("{")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["compare", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_broken_evaluation_is_one_line_and_nothing_is_written(
    runs: list[Path], capsys: Any
) -> None:
    """A NaN, a share that cannot be, a file larger than any of ours, half a file."""
    file = evaluation_of(runs[1], "concept")
    sound = file.read_text()
    for text in (sound.replace('"value": 100.0', '"value": NaN'), sound[:200], "[" * 100_000):
        file.write_text(text)
        assert main(["compare", *map(str, runs)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "evaluation.json is not a readable evaluation" in error
    with file.open("wb") as large:
        large.truncate(65 << 20)
    assert main(["compare", *map(str, runs)]) == 2
    assert "larger than 64 MB" in capsys.readouterr().err
    assert not (runs[0].parent / "compare.html").exists()


def test_numbers_that_no_share_has_are_shown_and_not_drawn(runs: list[Path]) -> None:
    file = evaluation_of(runs[1], "concept")
    data = json.loads(file.read_text())
    data["erased"]["ira"] = {"value": 1e308, "n": 3, "ci95": [-1e308, 1e308]}
    file.write_text(json.dumps(data))
    found = compare_runs(*runs)
    assert "ira" not in found["retention_of"]
    json.loads(json.dumps(found, allow_nan=False))
    assert compared_page(runs).open == []
