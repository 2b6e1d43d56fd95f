"""The LoRA's own check: the same rows and seeds as the run's evaluation, its numbers recounted."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import EraseOnce, export_lora
from support.files import written

from erase.models.erased_run import open_run
from expunge.evaluations.concept import evaluate_concept
from expunge.exports.export_lora import lora_rows
from expunge.exports.lora_check import write_with_lora
from expunge.settings.evaluate import EvaluateConcept
from plumbing.errors import UsageError

# A sampling step tells as much of the bookkeeping as fifty.
quick = partial(EvaluateConcept, protocol="demo", steps=1, batch_size=32, device="cpu")


@pytest.fixture
def seen_run(erase_once: EraseOnce, tmp_path: Path) -> Path:
    """A finished run, enough to see."""
    run = erase_once("--train-method", "full", "--lr", "1e-2")
    return shutil.copytree(run, tmp_path / "runs" / "church")


def test_the_check_measures_what_evaluations_of_the_run_and_of_the_sum_do(
    seen_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("expunge.exports.lora_check.EvaluateConcept", quick)
    evaluated = {"erased": evaluate_concept(quick(target=str(seen_run)))[0]}
    before = written(seen_run.parent)
    flags = ("--rank", "1", "--check", "yes")
    path, result = export_lora(seen_run, tmp_path / "a.safetensors", *flags)
    # Nothing of the original or of the run was drawn again.
    assert before == written(seen_run.parent) and any(p.suffix == ".png" for p in map(Path, before))

    with_lora = write_with_lora(open_run(seen_run), path, tmp_path / "with")
    originals = seen_run.parent / ".originals"
    evaluated["lora"] = evaluate_concept(quick(target=str(with_lora), originals=originals))[0]
    check = result["check"]
    assert set(check) == {"protocol", "original", "erased", "lora"}
    assert set(check["lora"]) == {"ua", "ira", "cra"}
    for name, evaluation in evaluated.items():
        assert check[name] == evaluation.to_dict()["erased"]
        assert check["original"] == evaluation.to_dict()["original"]
    shown = f"{check['lora']['ua']['value']:.1f} with the LoRA"
    assert lora_rows(result)["ua"].startswith(shown)


class Canned:
    """What stands in for an evaluation."""

    def to_dict(self) -> dict[str, Any]:
        return check_of(90.0)


@pytest.mark.parametrize("fits", [True, False, None])
def test_an_evaluation_of_the_run_is_taken_if_it_is_by_this_protocol(
    seen_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool | None
) -> None:
    """Else, or without one, the run is evaluated apart, and what it has stays."""
    run = shutil.copytree(seen_run, tmp_path / "run", ignore=shutil.ignore_patterns("eval"))
    if fits is not None:
        (run / "eval" / "concept").mkdir(parents=True)
        (run / "eval" / "concept" / "evaluation.json").write_text("{}")
    asked: list[EvaluateConcept] = []

    def fake(settings: EvaluateConcept) -> Any:
        asked.append(settings)
        if settings.out is None and not fits:
            raise UsageError("another protocol")
        return Canned(), settings.out

    monkeypatch.setattr("expunge.exports.lora_check.measure", fake)
    export_lora(run, tmp_path / "a.safetensors", "--check", "yes", "--check-protocol", "full")
    *_, of_run, of_lora = asked
    assert of_run.target == str(run) and (of_run.out is None) == bool(fits)
    assert len(asked) == (3 if fits is False else 2)
    assert of_lora.out and run not in of_lora.out.parents and not of_lora.out.parent.exists()
    assert {settings.protocol for settings in asked} == {"full"}
    assert {settings.originals for settings in asked} == {tmp_path / ".originals"}


def check_of(ua: float) -> dict[str, Any]:
    sides = {"original": 5.0, "erased": 90.0, "lora": ua}
    return {"protocol": "demo", **{side: {"ua": {"value": v}} for side, v in sides.items()}}


@pytest.mark.parametrize(("ua", "warned"), [(90.0, False), (88.0, False), (87.9, True)])
def test_a_lora_that_stays_behind_is_warned_of(
    seen_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ua: float,
    warned: bool,
) -> None:
    """By more than 2 points of 90."""
    monkeypatch.setattr("expunge.exports.lora_check.check_lora", lambda *_: check_of(ua))
    with caplog.at_level(logging.WARNING, "erase"):
        export_lora(seen_run, tmp_path / "a.safetensors", "--check", "yes")
    assert ("raise --rank" in caplog.text) == warned


def test_without_being_asked_only_the_miniature_is_checked(seen_run: Path, tmp_path: Path) -> None:
    assert export_lora(seen_run, tmp_path / "a.safetensors")[1]["check"] is None
