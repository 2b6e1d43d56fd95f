"""evaluation.json survives the disk, and what is not one is refused in one line."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from eval.concept.results import (
    ConceptEvaluation,
    ConceptProtocol,
    ConceptQuestion,
    ConceptScores,
    read_evaluation,
)
from eval.metrics.schema import Metric, write_evaluation
from plumbing.errors import UsageError

METRIC = Metric(value=100 / 3, n=3, ci95=(6.1, 79.2))
EVALUATION = ConceptEvaluation(
    protocol=ConceptProtocol("demo", 0, "ddim", 2, 5.0, 16, 16, "float32", {"forget": 3}, "ab"),
    concept=ConceptQuestion("church", "object", ("church",)),
    models={"original": {"name": "a", "sha256": "1"}, "erased": {"name": "b", "sha256": "2"}},
    judges={"object": {"name": "judge/object", "sha256": "3"}},
    original=ConceptScores(METRIC, METRIC, None),
    erased=ConceptScores(METRIC, None, None),
    notes={"cra": "no style judge"},
)


@pytest.mark.parametrize("evaluation", [EVALUATION, replace(EVALUATION, original=None)])
def test_it_reads_back_what_was_written(evaluation: ConceptEvaluation, tmp_path: Path) -> None:
    write_evaluation(tmp_path / "evaluation.json", evaluation)
    assert read_evaluation(tmp_path / "evaluation.json") == evaluation
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]


def test_a_metric_is_value_n_and_interval() -> None:
    data = EVALUATION.to_dict()
    assert data["erased"] == {
        "ua": {"value": 100 / 3, "n": 3, "ci95": [6.1, 79.2]},
        "ira": None,
        "cra": None,
        "near": None,
        "substitute": None,
    }
    assert list(data)[:2] == ["schema_version", "kind"]


def test_answers_make_no_difference_and_settings_do() -> None:
    answered = replace(EVALUATION, erased=ConceptScores(None, None, None), versions={"torch": "9"})
    assert EVALUATION.differences(answered) == []
    asked = replace(EVALUATION, protocol=replace(EVALUATION.protocol, steps=3))
    assert EVALUATION.differences(asked) == ["protocol.steps"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "readable"),
        ("[]", "readable"),
        (json.dumps({**EVALUATION.to_dict(), "schema_version": 99}), "schema 99"),
        (json.dumps({**EVALUATION.to_dict(), "kind": "i2p"}), "'i2p'"),
        (json.dumps({**EVALUATION.to_dict(), "colour": "red"}), "'colour'"),
    ],
)
def test_what_is_no_evaluation_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_evaluation(path)


def test_results_and_metrics_need_no_torch() -> None:
    code = "import sys, eval.metrics.rates, eval.concept.results; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
