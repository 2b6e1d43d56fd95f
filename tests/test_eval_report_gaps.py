"""The page is honest about what is missing or broken, and refused where it would guess."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pages import page
from support.report_runs import (
    add_concept,
    make_run,
    write_lines,
)

from eval.generation.image_log import Generation
from expunge.cli import main


def test_without_evaluations_it_says_so(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "run", base="some/model")).text
    assert "Not measured" in text and "nothing is claimed" in text
    assert "Whether a judge still sees the concept" in text and "miniature" not in text


def test_an_unfinished_run_and_a_mask_claim_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished=None)
    add_concept(run)
    assert "Not finished" in page(run).text
    mask = make_run(tmp_path / "mask", command="mask", config={"density": 0.3})
    shown = page(mask)
    assert "Nothing erased" in shown.text and "expunge mask church" in shown.text


def test_a_sparse_record_is_enough(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"schema_version": 1, "colour": "of a later version"}')
    assert "not recorded" in page(run).text


def test_a_strange_record_is_shown_or_refused_in_one_line(tmp_path: Path, capsys: Any) -> None:
    run = make_run(tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    for file in ("mask.safetensors", "train_log.jsonl"):
        (run / file).unlink()
    for key in record.keys() - {"schema_version"}:
        for value in (None, 3, "x", [], [3], {}, {"a": None}, {"kept": "x"}):
            (run / "run.json").write_text(json.dumps({**record, key: value}))
            code = main(["report", str(run), "--format", "md"])
            error = capsys.readouterr().err
            if code:
                assert (code, error.count("\n")) == (2, 1) and f"run.json: {key}" in error
                assert not (run / "report.md").exists()
            else:
                assert (run / "report.md").read_text().startswith("# ")
                (run / "report.md").unlink()


def test_missing_and_changed_images_have_their_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    images = sorted((run / "eval" / "concept" / "erased" / "images").iterdir())
    for path in images[:8]:
        path.unlink()
    for path in images[8:]:
        path.write_bytes(images[-1].read_bytes() + b"x")
    shown = page(run)
    assert "image missing" in shown.text and "changed since it was measured" in shown.text
    assert len(shown.all("img")) == 20
    shutil.rmtree(run / "eval" / "concept" / "original")
    shutil.rmtree(run / "eval" / "concept" / "erased")
    assert "100.0 [" in page(run).text and page(run).all("img") == []


def test_a_broken_image_is_said_to_be_broken(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    place = run / "eval" / "concept" / "erased"
    lines = []
    for line in (place / "generations.jsonl").read_text().splitlines():
        row = Generation(**json.loads(line))
        (place / "images" / f"{row.id}.png").write_bytes(b"no image")
        lines.append(replace(row, sha256=hashlib.sha256(b"no image").hexdigest()).__dict__)
    write_lines(place / "generations.jsonl", lines)
    assert "image broken" in page(run).text


def test_broken_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    with (run / "train_log.jsonl").open("a") as file:
        file.write('{"step": 1\n[]\n')
    with (run / "eval" / "concept" / "judgements.jsonl").open("a") as file:
        file.write('{"id": 7}\n')
    text = page(run).text
    assert "2 of the lines of train_log.jsonl are broken" in text
    assert "1 of the lines of judgements.jsonl are broken" in text


BROKEN: dict[str, tuple[str, tuple[str | int, ...], Any]] = {
    "counts are missing": ("i2p", ("erased", "curve", 0, "labels"), {}),
    "protocol.thresholds: there is none": ("i2p", ("protocol", "thresholds"), []),
    "erased.curve[0].total: Expected int": ("i2p", ("erased", "curve", 0, "total"), "1"),
    "erased.ua.value: Expected float": ("concept", ("erased", "ua", "value"), float("nan")),
    "models[...]: Object missing required field sha256": (
        "concept",
        ("models", "erased"),
        {"name": "a"},
    ),
    "judges[...]: Expected object": ("concept", ("judges",), {"object": "judge"}),
    "notes[...]: Expected str": ("concept", ("notes",), {"ira": 3}),
    "versions: Expected object": ("quality", ("versions",), ["torch"]),
    "protocol.images[...]: Expected int": ("concept", ("protocol", "images"), {"forget": None}),
    "unknown key": ("quality", ("colour",), "red"),
    "schema 99": ("concept", ("schema_version",), 99),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_evaluation_that_cannot_be_is_refused(
    message: str, measured_run: Path, capsys: Any
) -> None:
    """A NaN passes no bar and fails none, so that a verdict on it would be luck."""
    kind, path, value = BROKEN[message]
    file = measured_run / "eval" / kind / "evaluation.json"
    data = part = json.loads(file.read_text())
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(data))
    assert main(["report", str(measured_run)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("expunge: error: ") and error.count("\n") == 1 and message in error
    assert not (measured_run / "report.html").exists()


@pytest.mark.parametrize("file", ["run.json", "eval/concept/evaluation.json"])
def test_half_a_file_is_refused(file: str, measured_run: Path, capsys: Any) -> None:
    (measured_run / file).write_text("{")
    assert main(["report", str(measured_run)]) == 2
    assert "not a readable" in capsys.readouterr().err
    assert not (measured_run / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "is nothing a run folder?"),
        ([], "RUN is missing"),
        (["run", "other", "--to", "x.html"], "`expunge compare` sets several side by side"),
        (["run", "--to", "."], "is a folder"),
        (["run", "--to", "run.txt/x.html"], "cannot be written"),
        (["run", "--format", "pdf"], "--format"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"))
    Path("run.txt").touch()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["report", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
