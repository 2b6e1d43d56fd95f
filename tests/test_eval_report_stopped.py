"""A training that ended early: the page says so at its top, and never that nothing was erased."""

import math
from pathlib import Path
from typing import Any

import pytest
from support.report_runs import add_concept, make_run, write_lines

from erase.run_folder.folder import read_run, write_values
from eval.report.data import read_run_data
from eval.report.page import verdict_of
from eval.report.training_end import Stopped
from expunge.cli import main
from expunge.reports.write_report import describe
from plumbing.errors import UsageError

TOLD = "drift rose to 1.4 at step 40; try a lower --lr"
DRIFT = [[10, 0.2], [20, 0.4], [30, 0.9], [40, 1.4]]
GUARD = {"limit": 1.0, "drift": DRIFT}


def stop(reason: str = "drift", step: int = 40, kept: int = 30) -> dict[str, Any]:
    return {"reason": reason, "step": step, "kept_step": kept, "steps": 100, "told": TOLD}


def written(run: Path, kind: str = "html") -> str:
    assert main(["report", str(run), "--format", kind]) == 0
    text = (run / f"report.{kind}").read_text(encoding="utf-8")
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def make(folder: Path, **extra: Any) -> Path:
    run = make_run(folder, **extra)
    add_concept(run, images=24)
    return run


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("drift", "the quality guard found"),
        ("not finite", "values that are not finite"),
        ("erased", "the concept was found gone"),
    ],
)
def test_a_stopped_run_is_said_to_be_one_beside_its_verdict(
    tmp_path: Path, reason: str, why: str, kind: str
) -> None:
    text = written(make(tmp_path / "run", stopped=stop(reason), guard=GUARD), kind)
    place = text.index("The training stopped at step 40 of 100: ")
    assert why in text[place:] and "those of step 30" in text[place:]
    assert "drift rose to 1.4 at step 40" in text[place:]
    assert text.index("Erased") < place < text.index("images a model")


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize("reason", ["drift", "not finite", "erased"])
def test_the_originals_weights_are_never_erased(tmp_path: Path, reason: str, kind: str) -> None:
    """Whatever the evaluation says: here that no image shows the concept."""
    run = make(tmp_path / "run", stopped=stop(reason, kept=0))
    verdict = verdict_of(read_run_data(describe(run, read_run(run))))
    assert (verdict.word, verdict.level) == ("Nothing erased", "bad")
    text = written(run, kind)
    assert "the weights are the original" in text and "unchanged" in text
    assert main(["report", str(run), "--json"]) == 0


def test_the_command_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path / "run", stopped=stop(kept=0))
    written(run)
    assert "Nothing erased" in capsys.readouterr().out


def test_the_drift_goes_with_the_losses(tmp_path: Path) -> None:
    """A value that is not finite is none to draw, and no reason to go without the others."""
    guard = {"limit": 1.0, "drift": [*DRIFT, [50, math.inf], [60, math.nan], [70, None]]}
    run = make(tmp_path / "run", stopped=stop(), guard=guard)
    rows = [{"step": i, "forget_loss": 0.1, "retain_loss": 0.2} for i in (1, 2)]
    rows.append({"step": 3, "forget_loss": math.nan, "retain_loss": math.inf})
    write_lines(run / "train_log.jsonl", rows)
    text = written(run)
    assert "how far predictions for other prompts drifted" in text
    assert "Loss by training step" in text
    assert "drift by 1.4 at most, at step 40; its limit is 1." in written(run, "md")
    without = written(make(tmp_path / "old"))
    assert "drifted" not in without and "Loss by training step" in without
    assert "drifted" not in written(make(tmp_path / "early", guard=GUARD | {"drift": []}))


def test_what_the_original_drew_is_told(tmp_path: Path) -> None:
    """Half is the bar: below it there was little to erase, and the verdict's card says so."""
    many = {"value": 93.8, "n": 64, "ci95": [85.0, 97.5]}
    text = written(make(tmp_path / "many", drawn=many))
    assert "saw church in 93.8 [85.0, 97.5] % of the original's own 64 images" in text.replace(
        "&#39;", "'"
    )
    assert "little to erase" not in text
    few = {"value": 12.5, "n": 64, "ci95": [6.5, 22.8]}
    assert "only 12.5 %" in written(make(tmp_path / "few", drawn=few), "md")
    assert "saw church" not in written(make(tmp_path / "old", drawn=None))


@pytest.mark.parametrize(
    "extra",
    [
        {"stopped": stop(step=5, kept=6)},
        {"stopped": stop() | {"kept_step": "0"}},
        {"stopped": stop() | {"kept_step": None}},
        {"stopped": {}},
        {"stopped": "drift"},
        {"stopped": [1]},
        {"guard": {"limit": math.nan, "drift": []}},
        {"guard": {"limit": 1.0, "drift": [[1]]}},
        {"guard": {"limit": 1.0}},
        {"drawn": {"value": math.nan, "n": 3, "ci95": [0, 1]}},
        {"drawn": {"value": 3}},
        {"drawn": 50},
    ],
)
def test_an_edited_record_is_refused(tmp_path: Path, extra: dict[str, Any]) -> None:
    """For it decides whether the page may say "Erased"."""
    write_values(tmp_path, extra)
    with pytest.raises(UsageError, match=f"run.json: {next(iter(extra))}.*; get the run folder"):
        read_run(tmp_path)


def test_what_it_tells_is_one_plain_line() -> None:
    said = Stopped("drift", 2, 1, 3, "a\nb \x1b[31m" + "long " * 1000).sentence
    assert "\n" not in said and "\x1b" not in said and len(said) < 600
