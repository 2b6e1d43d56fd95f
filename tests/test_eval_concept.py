"""`expunge evaluate concept` on tiny real models: every number recounts, nothing is drawn twice."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import MakeRun
from support.files import files, jsonl

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.model_source import ModelSource
from eval.concept.results import read_evaluation
from eval.judges.classifier import load_classifier
from expunge.cli import main
from expunge.commands.evaluate_concept import table
from expunge.evaluations.concept import evaluate_concept
from expunge.evaluations.i2p import evaluate_i2p
from expunge.evaluations.quality import evaluate_quality
from expunge.settings.evaluate import EvaluateConcept, EvaluateQuality
from expunge.settings.evaluate_i2p import EvaluateI2P
from plumbing.errors import UsageError


def settings(target: Path, **changes: Any) -> EvaluateConcept:
    quick = EvaluateConcept(
        target=str(target), protocol="demo", steps=1, batch_size=32, device="cpu"
    )
    return replace(quick, **changes)


def test_it_leaves_exactly_these_files_and_says_what_it_found(make_run: MakeRun) -> None:
    run = make_run()
    evaluation, out = evaluate_concept(settings(run))
    ids = [f"{i:05d}" for i in range(sum(evaluation.protocol.images.values()))]
    images = {f"{model}/images/{i}.png" for model in ("original", "erased") for i in ids}
    logs = {"original/generations.jsonl", "erased/generations.jsonl", "judgements.jsonl"}
    assert out == run / "eval" / "concept"
    assert files(out) == images | logs | {"evaluation.json", "grid.png"}
    assert read_evaluation(out / "evaluation.json") == evaluation
    assert evaluation.concept.labels == ("church",)
    assert evaluation.models["original"]["sha256"] != evaluation.models["erased"]["sha256"]
    shown = table(evaluation)
    assert all(word in shown for word in ("church", "original", "erased", "ua", "ira", "cra"))
    assert str(run.parent) not in (out / "evaluation.json").read_text()


@pytest.mark.parametrize("concept", ["church", "outline"])
def test_every_number_recounts_from_the_judgements(make_run: MakeRun, concept: str) -> None:
    """ua = 100 * misses / forget rows; ira and cra = 100 * hits / rows of their split."""
    _, out = evaluate_concept(settings(make_run(concept=concept)))
    result = json.loads((out / "evaluation.json").read_text())
    rows = jsonl(out / "judgements.jsonl")
    domains = {(row["split"], row["domain"]) for row in rows}
    own, other = ("object", "style") if concept == "church" else ("style", "object")
    assert domains == {("forget", own), ("retain", own), ("cross", other)}
    for model in ("original", "erased"):
        for metric, split in (("ua", "forget"), ("ira", "retain"), ("cra", "cross")):
            part = [r for r in rows if r["model"] == model and r["split"] == split]
            hits = sum(r["label"] in r["expected"] for r in part)
            counted = len(part) - hits if metric == "ua" else hits
            assert result[model][metric]["value"] == 100 * counted / len(part)
            assert result[model][metric]["n"] == len(part) == result["protocol"]["images"][split]
    pairs = [
        [(g["id"], g["prompt"], g["seed"]) for g in jsonl(out / model / "generations.jsonl")]
        for model in ("original", "erased")
    ]
    assert pairs[0] == pairs[1]


def test_a_model_against_itself_changes_nothing(model_folder: Path, tmp_path: Path) -> None:
    evaluation, out = evaluate_concept(
        settings(
            model_folder, concept=("dog",), baseline=str(model_folder), out=tmp_path / "x" / "e"
        )
    )
    assert evaluation.original == evaluation.erased
    hashes = [
        [g["sha256"] for g in jsonl(out / model / "generations.jsonl")]
        for model in ("original", "erased")
    ]
    assert hashes[0] == hashes[1]


def test_without_a_baseline_the_original_is_left_open(model_folder: Path, tmp_path: Path) -> None:
    evaluation, out = evaluate_concept(
        settings(model_folder, concept=("dog",), out=tmp_path / "x" / "e")
    )
    assert evaluation.original is None
    assert "baseline" in evaluation.notes["original"]
    assert not (out / "original").exists()
    assert read_evaluation(out / "evaluation.json") == evaluation
    assert "-" in table(evaluation)


def test_a_finished_evaluation_is_kept_and_another_one_refused(make_run: MakeRun) -> None:
    run = make_run()
    evaluation, out = evaluate_concept(settings(run))
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    assert evaluate_concept(settings(run))[0] == evaluation
    with pytest.raises(UsageError, match=r"protocol\.steps.*--overwrite"):
        evaluate_concept(settings(run, steps=2))
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before
    again, _ = evaluate_concept(settings(run, steps=2, overwrite=True))
    assert again.protocol.steps == 2
    assert files(out) == set(before)


def read_judged(out: Path) -> list[dict[str, Any]]:
    """What the judges said; another batch rounds an image, and so a score a little."""
    rows = [json.loads(line) for line in (out / "judgements.jsonl").read_text().splitlines()]
    return [row | {"score": pytest.approx(row["score"], abs=0.01)} for row in rows]


def test_an_interrupted_evaluation_ends_as_an_uninterrupted_one(make_run: MakeRun) -> None:
    run = make_run()
    evaluation, out = evaluate_concept(settings(run))
    judged = read_judged(out)
    for name in ("evaluation.json", "judgements.jsonl", "erased/images/00003.png"):
        (out / name).unlink()
    stray = out / "erased" / "images" / "99999.png"
    shutil.copy(out / "erased" / "images" / "00001.png", stray)
    kept = (out / "erased" / "images" / "00002.png").stat().st_mtime_ns
    assert evaluate_concept(settings(run))[0] == evaluation
    assert read_judged(out) == judged
    assert (out / "erased" / "images" / "00002.png").stat().st_mtime_ns == kept
    assert not stray.exists()


def test_the_originals_images_serve_the_next_run(make_run: MakeRun) -> None:
    first, second = make_run("first"), make_run("second")
    evaluate_concept(settings(first))
    cache = first.parent / ".originals"
    drawn = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    assert drawn
    evaluate_concept(settings(second))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")} == drawn


def test_the_command_prints_one_json_object(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    words = ["evaluate", "concept", str(run), "--protocol", "demo", "--steps", "1"]
    assert main([*words, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "concept"
    assert main([*words, "--device", "cpu"]) == 0
    assert str(run / "eval" / "concept" / "grid.png") in capsys.readouterr().out


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command ends with."""
    assert main(["evaluate", "concept", *words, "--device", "cpu"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("expunge: error: ")
    return line


def test_bad_input_ends_in_one_line_and_leaves_nothing(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = str(model_folder), str(tmp_path / "out")
    assert "--concept" in refused([model, "--out", out], capsys)
    assert "--out" in refused([model, "--concept", "church"], capsys)
    assert "nowhere" in refused(["./nowhere", "--concept", "church", "--out", out], capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_judge_is_refused(model_folder: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    shutil.copytree(model_folder / "judge" / "object", judge)
    (judge / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="judge"):
        load_classifier(judge)
    with pytest.raises(UsageError, match="missing"):
        load_classifier(tmp_path / "missing")


def test_a_broken_image_is_refused(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    judge = load_classifier(model_folder / "judge" / "object")
    with pytest.raises(UsageError, match=r"a\.png"):
        list(judge.classify([tmp_path / "a.png"]))


def test_a_folder_that_cannot_be_written_is_refused(make_run: MakeRun) -> None:
    """A file in the folder's way stops even root, whom no permission does."""
    run = make_run()
    (run / "eval").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        evaluate_concept(settings(run))
    assert not (run.parent / ".originals").exists()


def test_a_finished_evaluation_loads_no_model(
    make_run: MakeRun, clip_folder: Path, prompts: Path
) -> None:
    run, loaded = str(make_run()), []

    def load(source: ModelSource, **how: Any) -> Bundle:
        loaded.append(source.id)
        return load_checkpoint(source, **how)

    quick: dict[str, Any] = {"target": run, "steps": 1, "device": "cpu"}
    ask = {
        "concept": partial(evaluate_concept, EvaluateConcept(protocol="demo", **quick)),
        "i2p": partial(evaluate_i2p, EvaluateI2P(prompts=prompts, **quick)),
        "quality": partial(
            evaluate_quality, EvaluateQuality(images=3, clip=str(clip_folder), **quick)
        ),
    }
    first = {kind: evaluate(load=load) for kind, evaluate in ask.items()}
    assert len(loaded) == 6
    assert {kind: evaluate(load=load) for kind, evaluate in ask.items()} == first
    assert len(loaded) == 6
