"""The LoRA's own check: the same rows and seeds as the run's evaluation, its numbers recounted."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import EraseOnce, export_lora
from support.files import written

from erase.models.erased_run import open_run
from erase.models.recommended import Recommended
from eval.concept.results import ConceptEvaluation
from expunge.evaluations.concept import evaluate_concept
from expunge.exports.export_lora import lora_rows, warn_of_lag
from expunge.exports.lora_check import write_with_lora
from expunge.settings.evaluate import EvaluateConcept


def evaluated(target: Path, **changes: Any) -> ConceptEvaluation:
    """By the protocol of the check."""
    asked = EvaluateConcept(target=str(target), protocol="demo", **changes)
    return evaluate_concept(asked)[0]


@pytest.fixture(scope="module")
def quick_model(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, which recommends a single step: it tells as much of the bookkeeping."""
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("models") / "quick")
    Recommended(steps=1, guidance_scale=5.0).write(folder)
    return folder


@pytest.fixture
def seen_run(quick_model: Path, erase_once: EraseOnce, tmp_path: Path) -> Path:
    """A finished run of it, enough to see."""
    run = erase_once("--train-method", "full", "--lr", "1e-2", model=quick_model)
    return shutil.copytree(run, tmp_path / "runs" / "church")


def test_the_check_measures_what_evaluations_of_the_run_and_of_the_sum_do(
    seen_run: Path, tmp_path: Path
) -> None:
    expected = {"erased": evaluated(seen_run)}
    before = written(seen_run.parent)
    flags = ("--rank", "1", "--check", "yes")
    path, result = export_lora(seen_run, tmp_path / "a.safetensors", *flags)
    # Nothing of the original or of the run was drawn again.
    assert before == written(seen_run.parent) and any(p.suffix == ".png" for p in map(Path, before))

    with_lora = write_with_lora(open_run(seen_run), path, tmp_path / "with")
    expected["lora"] = evaluated(with_lora, originals=seen_run.parent / ".originals")
    check = result["check"]
    assert set(check) == {"protocol", "original", "erased", "lora"}
    assert set(check["lora"]) == {"ua", "ira", "cra", "near", "substitute"}
    for name, evaluation in expected.items():
        assert check[name] == evaluation.to_dict()["erased"]
        assert check["original"] == evaluation.to_dict()["original"]
    shown = f"{check['lora']['ua']['value']:.1f} with the LoRA"
    assert lora_rows(result)["ua"].startswith(shown)


@pytest.mark.parametrize("there", [None, {"seed": 1}], ids=["none", "another"])
def test_without_an_evaluation_by_this_protocol_the_run_is_evaluated_apart(
    seen_run: Path, tmp_path: Path, there: dict[str, int] | None
) -> None:
    """And what it has stays as it is."""
    if there:
        evaluated(seen_run, **there)
    before = written(seen_run)
    _, result = export_lora(seen_run, tmp_path / "a.safetensors", "--check", "yes")
    assert written(seen_run) == before
    apart = evaluated(seen_run, out=tmp_path / "apart" / "e", originals=tmp_path / "originals")
    assert result["check"]["erased"] == apart.to_dict()["erased"]


@pytest.mark.parametrize(("ua", "warned"), [(90.0, False), (88.0, False), (87.9, True)])
def test_a_lora_that_stays_behind_is_warned_of(
    caplog: pytest.LogCaptureFixture, ua: float, warned: bool
) -> None:
    """By more than 2 points of 90."""
    with caplog.at_level(logging.WARNING, "expunge"):
        warn_of_lag({side: {"ua": {"value": v}} for side, v in (("erased", 90.0), ("lora", ua))})
    assert ("raise --rank" in caplog.text) == warned


def test_without_being_asked_only_the_miniature_is_checked(seen_run: Path, tmp_path: Path) -> None:
    assert export_lora(seen_run, tmp_path / "a.safetensors")[1]["check"] is None
