"""`expunge evaluate quality` on tiny real models: numbers recount, nothing changed is nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import linalg, stats
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel
from support.erased_runs import MakeRun
from support.files import files, jsonl

from eval.concept.results import read_evaluation
from eval.judges.clip import load_clip
from eval.quality.results import read_quality
from expunge.cli import main
from expunge.commands.evaluate_quality import table
from expunge.evaluations.quality import evaluate_quality
from expunge.settings.evaluate import EvaluateQuality
from plumbing.errors import UsageError

IMAGES, WIDTH = 24, 8
MODELS = ("original", "erased")


def settings(target: Path, clip: Path | None, **changes: Any) -> EvaluateQuality:
    quick = EvaluateQuality(
        target=str(target),
        clip=str(clip) if clip else None,
        images=IMAGES,
        steps=1,
        batch_size=IMAGES,
        device="cpu",
    )
    return replace(quick, **changes)


def test_it_leaves_exactly_these_files(make_run: MakeRun, clip_folder: Path) -> None:
    run = make_run()
    evaluation, out = evaluate_quality(settings(run, clip_folder))
    names = [f"{i:05d}" for i in range(IMAGES)] + [f"control-{i:02d}" for i in range(24)]
    images = {f"{m}/images/{name}.png" for m in MODELS for name in names}
    logs = {f"{m}/generations.jsonl" for m in MODELS}
    assert out == run / "eval" / "quality"
    assert files(out) == images | logs | {"evaluation.json", "similarities.jsonl", "worst.png"}
    assert read_quality(out / "evaluation.json") == evaluation
    assert evaluation.concepts == ("church",)
    assert evaluation.clip["sha256"] == load_clip(clip_folder).sha256
    assert str(run.parent) not in (out / "evaluation.json").read_text()
    prompts = [line["prompt"] for line in jsonl(out / "similarities.jsonl")]
    assert len(set(prompts)) == IMAGES and not any("church" in prompt for prompt in prompts)
    for model in MODELS:
        drawn = jsonl(out / model / "generations.jsonl")
        assert [g["prompt"] for g in drawn][:IMAGES] == prompts
        assert {g["id"] for g in drawn[IMAGES:]} == set(names[IMAGES:])
    with pytest.raises(UsageError, match="'quality', expected 'concept'"):
        read_evaluation(out / "evaluation.json")


def mean_of(values: list[float]) -> tuple[float, float, float]:
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return float(np.mean(values)), float(low), float(high)


def kernel_distance(kernel: Any, x: Any, y: Any, paired: bool) -> float:
    """Mean kernel of distinct rows within each set, less twice that across the sets.

    For pairs the rows i and j across the sets are distinct too.
    """
    apart = ~np.eye(len(x), dtype=bool)
    across = kernel(x, y)[apart].mean() if paired else kernel(x, y).mean()
    within = [kernel(z, z)[~np.eye(len(z), dtype=bool)].mean() for z in (x, y)]
    return float(sum(within) - 2 * across)


def frechet_distance(x: Any, y: Any) -> float:
    a, b = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(a @ b).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root))


def check_distances(found: dict[str, Any], x: Any, y: Any, paired: bool) -> None:
    x, y = x.astype(float), y.astype(float)
    expected = {
        "cmmd": 1000 * kernel_distance(lambda a, b: rbf_kernel(a, b, 1 / 200), x, y, paired),
        "kid": kernel_distance(lambda a, b: polynomial_kernel(a, b, 3, 1, 1), x, y, paired),
        "frechet": frechet_distance(x, y),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6)
        assert found[name]["n"] == min(len(x), len(y))
        assert found[name]["ci95"][0] <= found[name]["value"] <= found[name]["ci95"][1]


def test_every_number_recounts(make_run: MakeRun, clip_folder: Path, real: Path) -> None:
    """The lines from the images, the means from the lines, the distances from the images.

    Unit features u and v of length d: CLIP score and similarity are 100 u.v; KID's kernel on
    sqrt(d) u is (1 + u.v)^3.
    """
    evaluation, out = evaluate_quality(settings(make_run(), clip_folder, real=real))
    result = json.loads((out / "evaluation.json").read_text())
    lines, clip = jsonl(out / "similarities.jsonl"), load_clip(clip_folder)
    texts = clip.text_features([line["prompt"] for line in lines])
    seen = {
        m: clip.image_features([out / m / "images" / f"{line['id']}.png" for line in lines])
        for m in MODELS
    }
    columns = {name: [line[name] for line in lines] for name in lines[0]}
    for model in MODELS:
        scores = columns[f"clip_score_{model}"]
        np.testing.assert_allclose(scores, 100 * (seen[model] * texts).sum(1), atol=1e-4)
        found = result[model]["clip_score"]
        assert (found["value"], *found["ci95"]) == pytest.approx(mean_of(scores), abs=1e-9)
    alike = 100 * (seen["original"] * seen["erased"]).sum(1)
    np.testing.assert_allclose(columns["similarity"], alike, atol=1e-4)
    found = result["change"]["similarity"]
    assert (found["value"], *found["ci95"]) == pytest.approx(mean_of(columns["similarity"]))
    moved = np.subtract(columns["clip_score_erased"], columns["clip_score_original"]).tolist()
    found = result["change"]["clip_score"]
    assert (found["value"], *found["ci95"]) == pytest.approx(mean_of(moved), abs=1e-9)
    photos = clip.image_features(sorted(real.rglob("*.png")))
    check_distances(result["change"], seen["erased"], seen["original"], paired=True)
    for model in MODELS:
        check_distances(result[model], seen[model], photos, paired=False)
    assert result["real"] == {"name": "photos", "images": 20, "sha256": evaluation.real["sha256"]}
    order = sorted(lines, key=lambda line: (line["similarity"], line["id"]))
    assert result["worst"] == [line["id"] for line in order[:20]]
    shown = table(evaluation)
    words = ("church", "24 retained", "CMMD to real images", "KID to original", "Frechet")
    assert all(word in shown for word in (*words, "higher is better", "lower is better"))


def test_a_model_against_itself_changes_nothing(
    model_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Similarity 100 for every image; the distances are 0 and their intervals hold it."""
    model, out = str(model_folder), tmp_path / "x" / "e"
    evaluation, _ = evaluate_quality(
        settings(model_folder, clip_folder, concept=("dog",), baseline=model, out=out)
    )
    assert evaluation.original == evaluation.erased
    assert {line["similarity"] for line in jsonl(out / "similarities.jsonl")} == {100.0}
    change: Any = evaluation.change
    assert change["similarity"].value == 100 and change["clip_score"].value == 0
    for metric in (change["cmmd"], change["kid"], change["frechet"]):
        assert metric.value == pytest.approx(0, abs=1e-9)
        assert metric.ci95[0] - 1e-9 <= 0 <= metric.ci95[1] + 1e-9


def test_without_a_baseline_the_comparison_is_left_open(
    model_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """A user's own prompts then need no concept."""
    (tmp_path / "p.txt").write_text("a church\na dog\n# no prompt\nan apple\na dog\n")
    out = tmp_path / "x" / "e"
    evaluation, _ = evaluate_quality(
        settings(model_folder, clip_folder, prompts=tmp_path / "p.txt", out=out)
    )
    assert evaluation.original is None and evaluation.change is None
    assert evaluation.protocol.prompts == "p.txt" and evaluation.protocol.images == 3
    assert set(evaluation.notes) == {"original", "fewer", "images"}
    assert files(out) >= {"worst.png"} and not (out / "original").exists()
    assert {line["similarity"] for line in jsonl(out / "similarities.jsonl")} == {None}
    assert read_quality(out / "evaluation.json") == evaluation
    assert "original" not in {line[:8] for line in table(evaluation).splitlines()}


def test_prompts_that_name_the_concept_are_left_out(
    make_run: MakeRun, clip_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("two old churches\na dog\nan apple\na cat\na fish\n")
    run = make_run()
    evaluation, out = evaluate_quality(
        settings(run, clip_folder, prompts=tmp_path / "p.txt", images=3)
    )
    prompts = [line["prompt"] for line in jsonl(out / "similarities.jsonl")]
    assert prompts == ["a dog", "an apple", "a cat"]
    assert evaluation.notes["prompts"].startswith("1 that name church")
    assert "16 images" in evaluation.notes["frechet"]
    assert evaluation.change is not None and evaluation.change["frechet"] is None


def test_a_finished_evaluation_is_kept_and_another_one_refused(
    make_run: MakeRun, clip_folder: Path, real: Path
) -> None:
    run = make_run()
    evaluation, out = evaluate_quality(settings(run, clip_folder))
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    assert evaluate_quality(settings(run, clip_folder))[0] == evaluation
    with pytest.raises(UsageError, match=r"protocol\.steps.*--overwrite"):
        evaluate_quality(settings(run, clip_folder, steps=2))
    with pytest.raises(UsageError, match=r"real\.name.*--overwrite"):
        evaluate_quality(settings(run, clip_folder, real=real))
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before
    again, _ = evaluate_quality(settings(run, clip_folder, steps=2, overwrite=True))
    assert again.protocol.steps == 2
    assert files(out) == set(before)


def test_an_interrupted_evaluation_ends_as_an_uninterrupted_one(
    make_run: MakeRun, clip_folder: Path
) -> None:
    """The next run finds the original's images in the cache."""
    run = make_run()
    evaluation, out = evaluate_quality(settings(run, clip_folder))
    lines = (out / "similarities.jsonl").read_bytes()
    drawn = {p: p.stat().st_mtime_ns for p in (run.parent / ".originals").rglob("*.png")}
    for name in ("evaluation.json", "similarities.jsonl", "erased/images/00003.png"):
        (out / name).unlink()
    kept = (out / "erased" / "images" / "00002.png").stat().st_mtime_ns
    assert evaluate_quality(settings(run, clip_folder))[0] == evaluation
    assert (out / "similarities.jsonl").read_bytes() == lines
    assert (out / "erased" / "images" / "00002.png").stat().st_mtime_ns == kept
    evaluate_quality(settings(make_run("second"), clip_folder))
    again = {p: p.stat().st_mtime_ns for p in (run.parent / ".originals").rglob("*.png")}
    assert len(drawn) == IMAGES + 24 and again == drawn


def test_a_models_own_clip_is_the_default(
    model_folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_folder, model)
    shutil.copytree(clip_folder, model / "clip")
    words = ["evaluate", "quality", str(model), "--baseline", str(model), "--concept", "church"]
    words += ["--images", "3", "--steps", "1", "--device", "cpu", "--out", str(tmp_path / "o")]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["kind"], result["clip"]["name"]) == ("quality", "model/clip")
    assert main(words) == 0
    assert str(tmp_path / "o" / "worst.png") in capsys.readouterr().out
