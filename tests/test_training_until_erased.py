"""An erasure that ends when the concept is gone, and one that had nothing to erase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import SHORT, bits_equal, unet

from erase.run_folder.folder import read_run
from erase.run_folder.record import RunRecord
from erase.training import watch
from expunge.cli import main
from expunge.runs.concept_probe import ConceptProbe


def run(model: Path, out: Path, *flags: str) -> RunRecord:
    words = ["erase", "church", "--model", str(model), "--out", str(out), *SHORT, *flags]
    assert main(words) == 0
    return read_run(out)


def test_it_ends_at_the_first_look_that_finds_nothing(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is what a training of that many steps leaves; the judge is asked in between."""
    monkeypatch.setattr(watch, "EVERY", 2)
    answers = iter([False, True])
    monkeypatch.setattr(ConceptProbe, "gone", lambda self: next(answers))
    record = run(model_folder, tmp_path / "run", "--steps", "9", "--until-erased")
    assert record.stopped.reason == "erased"
    assert (record.stopped.step, record.stopped.kept_step) == (4, 4)
    run(model_folder, tmp_path / "four", "--steps", "4")
    assert bits_equal(unet(tmp_path / "run"), unet(tmp_path / "four"))


def test_the_probe_draws_and_asks_the_judge(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny judge is untrained: whatever it names first is what it sees everywhere."""
    monkeypatch.setattr(watch, "EVERY", 2)
    drawn = []
    asked = ConceptProbe.shown

    def counted(self: Any, rows: Any) -> list[bool]:
        drawn.append(asked(self, rows))
        return drawn[-1]

    monkeypatch.setattr(ConceptProbe, "shown", counted)
    record = run(model_folder, tmp_path / "run", "--steps", "5", "--until-erased")
    assert len(drawn[0]) == record.drawn.n == 16
    assert record.drawn.value == 100 * sum(drawn[0]) / 16
    seen = any(any(shown) for shown in drawn[1:])
    assert (record.stopped is None) == seen


def test_what_the_original_does_not_draw_is_said_first(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ConceptProbe, "shown", lambda self, rows: [i < 3 for i in range(len(rows))])
    record = run(model_folder, tmp_path / "run")
    assert record.drawn.value == pytest.approx(100 * 3 / 16)
    assert "shows church in only 19 % of 16 images" in caplog.text
    # It is known from then on: the finished run does not draw them again.
    assert run(model_folder, tmp_path / "run").drawn == record.drawn
