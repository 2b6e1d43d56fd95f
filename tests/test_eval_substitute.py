"""`substitute`: what is drawn instead, told from blobs by how sure the judge is."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.attack_runs import ByteJudge
from support.erased_runs import MakeRun
from support.files import jsonl
from support.report_runs import add_concept, make_run, write_lines
from support.verdict_cases import GOOD, evaluation, judge

from eval.concept.kind import CONCEPT
from eval.concept.results import ConceptEvaluation, read_evaluation
from eval.concept.scores import Judgement
from eval.concept.substitute import counted, substituted, sure_from, why_none, with_substitute
from eval.metrics.rates import rate
from eval.metrics.schema import write_evaluation
from expunge.cli import main
from expunge.commands.evaluate_concept import table
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept


def seen(
    split: str, label: str, score: float, model: str = "original", expected: str = "church",
    domain: str = "object",
) -> Judgement:  # fmt: skip
    return Judgement("0", model, split, domain, (expected,), label, score)  # type: ignore[arg-type]


ORIGINAL = [
    *(seen("forget", "church", score) for score in (0.6, 0.8, 0.9, 0.9, 0.9)),
    *(seen("retain", "dog", score, expected="dog") for score in (0.7, 0.9, 0.9, 0.9, 0.9)),
]
"""Ten right images, of which nine have 0.7 or more."""


def test_a_substitute_is_another_label_with_enough_confidence() -> None:
    """The tenth part of ten is one: the second of the sorted scores, 0.7, is the bar.

    Of four forget images one is still a church, one a dog at 0.7, one a dog at 0.69 (a blob), and
    one an apple at 0.99: 2 of 4 are substitutes.
    """
    pairs = (("church", 0.99), ("dog", 0.7), ("dog", 0.69), ("apple", 0.99))
    erased = [seen("forget", label, score, "erased") for label, score in pairs]
    sure = sure_from([*ORIGINAL, *erased])
    assert sure == {"object": 0.7}
    assert substituted(erased, "erased", sure) == rate([False, True, False, True])


def test_only_right_images_of_the_concept_and_of_its_kind_set_the_bar() -> None:
    others = [
        seen("forget", "dog", 0.1),
        seen("retain", "cat", 0.1, expected="dog"),
        seen("near", "castle", 0.1, expected="castle"),
        seen("cross", "night", 0.1, expected="night", domain="style"),
        seen("forget", "church", 0.1, "erased"),
    ]
    assert sure_from([*ORIGINAL, *others]) == {"object": 0.7}


def test_each_judge_has_a_bar_of_its_own() -> None:
    """Of an object and a style in one erasure."""
    both = [*ORIGINAL, seen("forget", "night", 0.3, expected="night", domain="style")]
    sure = sure_from(both)
    assert sure == {"object": 0.7, "style": 0.3}
    erased = [
        seen("forget", "flat", 0.4, "erased", "night", "style"),
        seen("forget", "dog", 0.4, "erased"),
    ]
    assert substituted(erased, "erased", sure) == rate([True, False])
    assert substituted(erased, "erased", {"object": 0.7}) is None


judgements = st.lists(
    st.builds(
        seen,
        st.sampled_from(["forget", "retain"]),
        st.sampled_from(["church", "dog"]),
        st.integers(0, 10).map(lambda n: n / 10),
        st.sampled_from(["original", "erased"]),
    )
)


@given(judgements)
def test_no_more_is_substituted_than_is_gone(rows: list[Judgement]) -> None:
    sure = sure_from(rows)
    for model in ("original", "erased"):
        found = substituted(rows, model, sure)
        gone = rate(not j.hit for j in rows if j.model == model and j.split == "forget")
        assert found is None or (gone and found.value <= gone.value and found.n == gone.n)


@given(judgements, st.randoms())
def test_neither_order_nor_the_erased_model_moves_the_bar(rows: list[Judgement], dice: Any) -> None:
    shuffled = dice.sample(rows, len(rows))
    assert sure_from(shuffled) == sure_from([j for j in rows if j.model == "original"])


def test_judges_that_name_nothing_else_and_no_original_are_reasons() -> None:
    names, tells = ByteJudge(), ByteJudge(means_concept=("church",))
    assert why_none([names], original=True) == {}
    assert "original" in why_none([names], original=False)["substitute"]
    assert "names nothing else" in why_none([names, tells], original=True)["substitute"]


def test_where_no_image_of_the_original_is_right_there_is_no_bar() -> None:
    blind = [seen("forget", "dog", 0.9), seen("forget", "dog", 0.9, "erased")]
    found = with_substitute(evaluation(GOOD, GOOD), blind)
    assert found.erased.substitute is None and found.sure == {} and counted(found)
    assert "recognises none of the original's own images" in found.notes["substitute"]


def quick(target: Path, **changes: Any) -> EvaluateConcept:
    own = EvaluateConcept(target=str(target), protocol="demo", steps=1, device="cpu")
    return replace(own, **changes)


def recounted(rows: list[dict[str, Any]], model: str) -> tuple[float, float]:
    """The bar and the share, from the lines of judgements.jsonl and nothing of ours."""
    right = sorted(
        row["score"]
        for row in rows
        if row["model"] == "original"
        and row["split"] in ("forget", "retain")
        and row["label"] in row["expected"]
    )
    bar = right[len(right) // 10]
    forget = [row for row in rows if row["model"] == model and row["split"] == "forget"]
    clear = [r for r in forget if r["label"] not in r["expected"] and r["score"] >= bar]
    return bar, 100 * len(clear) / len(forget)


def test_it_recounts_from_the_judgements_and_an_older_file_gets_it(make_run: MakeRun) -> None:
    """Without drawing anything anew: the older file is as a version without it left it."""
    run = make_run()
    found, out = evaluate_concept(quick(run))  # type: ignore[misc]
    rows, result = (
        jsonl(out / "judgements.jsonl"),
        json.loads((out / "evaluation.json").read_text()),
    )
    for model in ("original", "erased"):
        bar, share = recounted(rows, model)
        assert result["sure"] == {"object": bar}
        assert result[model]["substitute"]["value"] == share
        assert result[model]["substitute"]["n"] == result["protocol"]["images"]["forget"]
    for key in ("original", "erased"):
        del result[key]["substitute"]
    del result["sure"]
    (out / "evaluation.json").write_text(json.dumps(result))
    older = read_evaluation(out / "evaluation.json")
    assert older.erased.substitute is None and not counted(older)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    again, _ = evaluate_concept(quick(run))  # type: ignore[misc]
    assert again == found == read_evaluation(out / "evaluation.json")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == times


def test_an_older_file_whose_judgements_are_not_whole_stays_as_it_is(make_run: MakeRun) -> None:
    run = make_run()
    found, out = evaluate_concept(quick(run))  # type: ignore[misc]
    older = replace(
        found,
        original=found.original and replace(found.original, substitute=None),
        erased=replace(found.erased, substitute=None),
        sure={},
    )
    write_evaluation(out / "evaluation.json", older)
    lines = (out / "judgements.jsonl").read_text().splitlines()
    (out / "judgements.jsonl").write_text("\n".join(lines[1:]) + "\n")
    assert evaluate_concept(quick(run)) == (older, out)


def test_without_an_original_it_is_null_with_a_reason(model_folder: Path, tmp_path: Path) -> None:
    alone, _ = evaluate_concept(  # type: ignore[misc]
        quick(model_folder, concept=("dog",), out=tmp_path / "x" / "e")
    )
    assert alone.erased.substitute is None and "original's" in alone.notes["substitute"]
    assert any(note.startswith("No substitute: ") for note in CONCEPT.tables(alone)[0].notes)


def told(share: float) -> ConceptEvaluation:
    plain = evaluation(GOOD, (99.0, 94.0, 96.0))
    clear = rate([i < share for i in range(100)])
    return replace(plain, erased=replace(plain.erased, substitute=clear), sure={"object": 0.7})


def test_it_is_told_and_decides_nothing() -> None:
    for share in (0, 100):
        found = judge(told(share))
        assert (found.word, found.level) == ("Erased", "good")
        assert any(f"In {share}.0 % of the images that ask for church" in r for r in found.remarks)
    assert "substitute" not in str(judge(evaluation(GOOD, (99.0, 94.0, 96.0))).remarks)


def test_tables_and_the_report_show_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    found = add_concept(run)
    rows = [Judgement(**row) for row in jsonl(run / "eval" / "concept" / "judgements.jsonl")]
    rows = [replace(row, expected=tuple(row.expected)) for row in rows]
    blobs = [
        replace(j, score=0.2) if j.model == "erased" and j.split == "forget" and i % 4 else j
        for i, j in enumerate(rows)
    ]
    write_lines(run / "eval" / "concept" / "judgements.jsonl", [asdict(j) for j in blobs])
    write_evaluation(run / "eval" / "concept" / "evaluation.json", with_substitute(found, blobs))
    shown = table(read_evaluation(run / "eval" / "concept" / "evaluation.json"))
    line = next(line for line in shown.splitlines() if line.startswith("substitute"))
    assert "clearly drawn as something else" in line and "a score of 0.90 (object)" in shown
    assert main(["report", str(run), "--format", "md"]) == 0
    text = (run / "report.md").read_text()
    assert "| substitute: forget prompts clearly drawn as something else | 24 |" in text
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "<dt>substitute</dt>" in page and "clearly something else" in page


@pytest.mark.parametrize("sure", [{"object": "high"}, {"object": float("nan")}, ["object"]])
def test_a_bar_that_is_none_is_refused(sure: Any, tmp_path: Path, capsys: Any) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    file = run / "eval" / "concept" / "evaluation.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sure": sure}))
    assert main(["report", str(run)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "sure" in error
