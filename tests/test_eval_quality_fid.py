"""The FID of `evaluate quality`: what is refused before drawing, what is written and shown."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.erased_runs import MakeRun
from support.files import files
from support.report_runs import SHA, add_quality, make_run

from eval.metrics.distances import frechet
from eval.metrics.schema import Metric, write_evaluation
from eval.quality.inception import WEIGHTS, Inception
from eval.quality.kind import QUALITY
from eval.quality.measures.fid import FID, require_for_fid
from eval.quality.measures.measure import Sight
from eval.quality.results import QualityEvaluation, read_quality
from expunge.cli import main
from expunge.commands.evaluate_quality import table
from expunge.parsing import parse

MODULE = "feature_extractor_inceptionv3"
NEEDED = 4096


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["evaluate", "quality", *map(str, words)]) == 2
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert captured.out == "" and line.startswith("expunge: error: ")
    return line


def many_prompts(folder: Path) -> Path:
    path = folder / "many.txt"
    path.write_text("".join(f"dog number {index}\n" for index in range(NEEDED)))
    return path


def test_without_the_extra_one_line_says_how_to_get_it(
    model_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, f"torch_fidelity.{MODULE}", None)
    prompts, out = many_prompts(tmp_path), tmp_path / "out"
    words = ("--baseline", model_folder, "--clip", clip_folder, "--device", "cpu", "--out", out)
    words += ("--prompts", prompts, "--images", NEEDED, "--fid")
    line = refused(capsys, model_folder, *words)
    assert "torch-fidelity" in line and line.endswith("pip install 'expunge[fid]'")
    assert files(tmp_path) == {"many.txt"}


def test_too_few_images_are_refused_before_anything_is_drawn(
    make_run: MakeRun,
    model_folder: Path,
    clip_folder: Path,
    real: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One fewer than 2 x 2048 is too few, in either set."""
    run, prompts = make_run(), many_prompts(tmp_path)
    there = files(tmp_path)
    base = ("--clip", clip_folder, "--device", "cpu", "--fid")
    few = refused(capsys, run, *base)
    assert "needs 4096 images" in few and "--images to 4096" in few and "--prompts FILE" in few
    drawn = ("--prompts", prompts, "--images", NEEDED)
    assert "4095 prompts" in refused(capsys, run, *base, *drawn[:3], NEEDED - 1)
    assert "--real holds 20" in refused(capsys, run, *base, *drawn, "--real", real)
    alone = refused(capsys, model_folder, *base, *drawn, "--out", tmp_path / "out")
    assert "nothing to compare" in alone and "--baseline or --real" in alone
    assert "without --fid" in refused(capsys, run, "--fid-weights", prompts)
    assert files(tmp_path) == there
    require_for_fid(NEEDED, NEEDED, original=False)
    require_for_fid(NEEDED, None, original=True)


def test_pairs_are_compared_as_pairs_and_photographs_are_not() -> None:
    rng = np.random.default_rng(0)
    original, erased, real = rng.normal(size=(3, 40, 4)).astype(np.float32)
    seen = {"original": original, "erased": erased, "real": real}

    def found(*there: str) -> dict[str, Metric]:
        sight = Sight((), {}, {}, {who: seen[who] for who in there})
        assert FID.change and FID.real
        numbers = {"change": FID.change.measure(sight, "erased")}
        numbers |= {model: FID.real.measure(sight, model) for model in ("original", "erased")}
        return {name: number for name, number in numbers.items() if number}

    assert found(*seen) == {
        "change": frechet(erased, original, paired=True),
        "original": frechet(original, real, paired=False),
        "erased": frechet(erased, real, paired=False),
    }
    assert found(*seen)["change"] != frechet(erased, original, paired=False)
    assert list(found("original", "erased")) == ["change"]
    assert list(found("erased", "real")) == ["erased"]


def with_fid(run: Path, name: str = WEIGHTS) -> QualityEvaluation:
    """A run's quality evaluation, with an FID to the original and one to real images."""
    plain = add_quality(run)
    assert plain.change is not None and plain.erased is not None
    evaluation = replace(
        plain,
        inception={"name": name, "sha256": SHA},
        change={**plain.change, "fid": Metric(12.345, NEEDED, (11.5, 13.25))},
        erased={**plain.erased, "fid": Metric(45.678, NEEDED, (44.0, 47.0))},
    )
    write_evaluation(run / "eval" / "quality" / "evaluation.json", evaluation)
    return evaluation


def test_it_is_written_read_and_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    evaluation, file = with_fid(run), run / "eval" / "quality" / "evaluation.json"
    assert read_quality(file) == evaluation
    written = json.loads(file.read_text())
    assert written["change"]["fid"] == {"value": 12.345, "n": 4096, "ci95": [11.5, 13.25]}
    shown = table(evaluation).splitlines()
    assert f"FID by Inception {WEIGHTS} ({SHA[:12]})" in shown[1]
    lines = {line[:39].strip(): line[39:].split() for line in shown if line.startswith("FID")}
    better = ["lower", "is", "better", "4096"]
    assert lines == {
        "FID (Inception, 2048-d) to original": [*better, "-", "12.35", "[11.50,", "13.25]"],
        "FID (Inception, 2048-d) to real images": [*better, "-", "45.68", "[44.00,", "47.00]"],
    }
    assert main(["report", str(run), "--format", "md"]) == 0
    text = (run / "report.md").read_text()
    row = "| FID (Inception, 2048-d) to original | lower | 4096 | - | 12.35 \\[11.50, 13.25\\] |"
    assert row in text.replace("\\(", "(").replace("\\)", ")")
    assert "and Inception inception-2015-12-05" in text.replace("\\-", "-")
    assert main(["report", str(run)]) == 0
    assert "FID (Inception, 2048-d) to original" in (run / "report.html").read_text()


def test_an_evaluation_from_before_has_none(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    plain, file = add_quality(run), run / "eval" / "quality" / "evaluation.json"
    data = plain.to_dict()
    del data["inception"], data["change"]["fid"], data["original"]["fid"], data["erased"]["fid"]
    file.write_text(json.dumps(data))
    assert read_quality(file) == plain
    assert "FID" not in table(plain) and plain.change is not None and plain.change["fid"] is None
    assert main(["report", str(run), "--format", "md"]) == 0
    assert "Inception" not in (run / "report.md").read_text()
    assert plain.differences(with_fid(run)) == ["inception.name", "inception.sha256"]


def test_a_report_refuses_an_inception_that_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run")
    broken = replace(with_fid(run), inception={"name": 3})  # type: ignore[dict-item]
    write_evaluation(run / "eval" / "quality" / "evaluation.json", broken)
    assert main(["report", str(run)]) == 2
    assert "inception[...]: Expected str" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "file"), [(WEIGHTS, None), ("mine.pth", Path("mine.pth"))])
def test_a_report_says_how_to_measure_it_again(
    name: str, file: Path | None, tmp_path: Path
) -> None:
    evaluation = with_fid(make_run(tmp_path / "run"), name)
    words = shlex.split(QUALITY.command("run", evaluation))
    settings = parse(tuple(words[1:3]), words[3:])
    assert (settings.fid, settings.fid_weights) == (True, file)
    assert "fid" not in QUALITY.command("run", add_quality(tmp_path / "x"))


class Waves(torch.nn.Module):
    """2048 features of an image within microseconds: cosines of random sums of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        sums = torch.randn(16 * 16 * 3, 2048, generator=torch.Generator().manual_seed(0))
        self.sums = torch.nn.Parameter(sums / 50)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        assert pixels.dtype == torch.uint8
        return (torch.cos(pixels.flatten(1).float() / 8 @ self.sums),)


@pytest.mark.slow
def test_4096_images_have_an_fid_that_recounts(
    make_run: MakeRun, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the trace of (S B S)^1/2 from eigenvalues, S the root of A, in place of our factors.

    Inception itself takes hours for 8192 images on a CPU; all around it is real.
    """
    pytest.importorskip("torch_fidelity", reason="needs pip install 'expunge[fid]'")
    eye = Inception(Waves(), "waves", SHA)
    monkeypatch.setattr("expunge.evaluations.quality.load_inception", lambda *_: eye)
    run, prompts = make_run(), many_prompts(tmp_path)
    words = ["--clip", clip_folder, "--device", "cpu", "--steps", 1, "--batch-size", 256, "--fid"]
    words += ["--prompts", prompts, "--images", NEEDED]
    assert main(["evaluate", "quality", str(run), *map(str, words)]) == 0
    out = run / "eval" / "quality"
    result = json.loads((out / "evaluation.json").read_text())
    assert result["inception"] == {"name": "waves", "sha256": SHA}
    assert "not the published ones" in result["notes"]["fid"]
    assert result["versions"]["torch-fidelity"] and result["erased"]["fid"] is None
    a, b = (
        eye.image_features(sorted((out / model / "images").glob("*.png"))).astype(float)
        for model in ("original", "erased")
    )
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * overlap
    fid = result["change"]["fid"]
    assert fid["value"] == pytest.approx(float(expected), rel=1e-4) and fid["n"] == NEEDED
    assert 0 <= fid["ci95"][0] < fid["value"] < fid["ci95"][1]
