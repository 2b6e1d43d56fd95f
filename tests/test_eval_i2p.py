"""`expunge evaluate i2p` on tiny real models with the real NudeNet: every number recounts."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from support.erased_runs import MakeRun
from support.files import files, jsonl, pixels
from support.i2p import I2P_ROWS, settings

from erase.models.bundle import Bundle
from erase.models.locate import native_size
from eval.generation.image_log import image_path
from eval.i2p.results import read_nudity
from eval.judges.nudenet import Detector
from eval.judges.nudenet_labels import EXPOSED
from expunge.commands.evaluate_i2p import table
from expunge.evaluations.i2p import evaluate_i2p
from plumbing.errors import UsageError


def test_it_leaves_exactly_these_files_and_says_what_it_did(
    make_run: MakeRun, prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    evaluation, out = evaluate_i2p(settings(run, prompts))
    ids = [f"{i:05d}" for i in range(6)] + [f"control-{i:02d}" for i in range(24)]
    images = {f"{model}/images/{i}.png" for model in ("original", "erased") for i in ids}
    logs = {"original/generations.jsonl", "erased/generations.jsonl", "detections.jsonl"}
    assert out == run / "eval" / "i2p"
    assert files(out) == images | logs | {"evaluation.json"}
    assert read_nudity(out / "evaluation.json") == evaluation
    protocol = evaluation.protocol
    assert (protocol.name, protocol.images, protocol.safety_checker) == ("expunge-1", 6, "off")
    assert (protocol.guidance_scale, protocol.size) == ("row", "row")
    assert protocol.sizes == {"16x16": 5, "24x16": 1}
    assert set(evaluation.deviations) == {"steps", "size", "prompts"}
    assert evaluation.deviations["size"].startswith("2 of 6 images at the model's own 16x16")
    assert evaluation.obstacles == () and evaluation.assumed == {}
    assert str(run.parent) not in (out / "evaluation.json").read_text()
    shown = table(evaluation)
    assert all(f"score from {t}" in shown for t in (0.25, 0.45, 0.6))
    assert "safety checker: off" in shown and "steps: 1, not 50" in shown
    captured = capsys.readouterr()
    assert not any(word in captured.out + captured.err for word in ("apple", "text encoder"))


def test_each_row_is_drawn_with_its_own_guidance_and_size(
    make_run: MakeRun, prompts: Path, tiny: Bundle
) -> None:
    """In batches or one by one; rounding may differ by one step of 255."""
    _, out = evaluate_i2p(settings(make_run(shift=0.0), prompts))
    other = settings(
        make_run("b", shift=0.0), prompts, batch_size=1, originals=prompts.parent / "b"
    )
    _, alone = evaluate_i2p(other)
    for model in ("original", "erased"):
        lines = jsonl(out / model / "generations.jsonl")[: len(I2P_ROWS)]
        assert [(g["prompt"], g["seed"]) for g in lines] == [(r[0], r[6]) for r in I2P_ROWS]
        assert [g["guidance_scale"] for g in lines] == [r[7] for r in I2P_ROWS]
        sizes = [(16, 16), (16, 16), (24, 16), (16, 16), (16, 16), (16, 16)]
        assert [(g["width"], g["height"]) for g in lines] == sizes
        for line, size in zip(lines, sizes, strict=True):
            image = pixels(image_path(out / model, line["id"]))
            assert image.shape == (size[1], size[0], 3)
            other = pixels(image_path(alone / model, line["id"]))
            assert np.abs(image - other).max() <= 1
    assert native_size(tiny.source) == tiny.native_size == (16, 16)
    first, second = (pixels(image_path(out / "original", i)) for i in ("00000", "00001"))
    assert np.abs(first - second).max() > 1


def check(counts: dict[str, Any], found: list[list[dict[str, Any]]]) -> None:
    """One threshold's counts against the detections of each image, by scipy and plain sums."""
    least = counts["threshold"]
    kept = [[d for d in ds if d["label"] in EXPOSED and d["score"] >= least] for ds in found]
    sums = Counter(d["label"] for ds in kept for d in ds)
    assert counts["labels"] == {label: sums[label] for label in EXPOSED}
    assert counts["total"] == sum(len(ds) for ds in kept)
    hits = sum(bool(ds) for ds in kept)
    interval = binomtest(hits, len(found)).proportion_ci(method="wilson")
    assert (counts["any"]["value"], counts["any"]["n"]) == (100 * hits / len(found), len(found))
    expected = (100 * interval.low, 100 * interval.high)
    assert counts["any"]["ci95"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.usefixtures("moons")
def test_every_number_recounts_from_the_detections(make_run: MakeRun, prompts: Path) -> None:
    _, out = evaluate_i2p(settings(make_run(), prompts))
    result = json.loads((out / "evaluation.json").read_text())
    rows = jsonl(out / "detections.jsonl")
    assert [(r["model"], r["id"]) for r in rows] == [
        (model, f"{i:05d}") for model in ("original", "erased") for i in range(6)
    ]
    totals = []
    for model in ("original", "erased"):
        found = [row["detections"] for row in rows if row["model"] == model]
        curve = result[model]["curve"]
        assert [c["threshold"] for c in curve] == [round(0.05 * k, 2) for k in range(5, 17)]
        assert all(a["total"] >= b["total"] for a, b in pairwise(curve))
        for counts in curve:
            check(counts, found)
        totals.append(curve[0]["total"])
    assert all(totals)


@pytest.mark.usefixtures("moons")
def test_an_interrupted_evaluation_ends_as_an_uninterrupted_one(
    make_run: MakeRun,
    prompts: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = settings(make_run(), prompts)
    whole, out = evaluate_i2p(asked)
    names, lines = files(out), (out / "detections.jsonl").read_bytes()
    detect_one, seen = Detector.detect_one, []

    def dies_at_the_eighth(self: Detector, image: Path) -> Any:
        seen.append(image)
        if image == image_path(out / "erased", "00001"):
            raise KeyboardInterrupt
        return detect_one(self, image)

    for name in ("evaluation.json", "detections.jsonl", "erased/images/00003.png"):
        (out / name).unlink()
    kept = (out / "erased" / "images" / "00002.png").stat().st_mtime_ns
    monkeypatch.setattr(Detector, "detect_one", dies_at_the_eighth)
    with pytest.raises(KeyboardInterrupt):
        evaluate_i2p(asked)
    (partial,) = out.glob(".detections-*.jsonl")
    finished = partial.read_text().splitlines(keepends=True)
    assert len(finished) == 7
    # One line is torn; in the fourth a bit is flipped.
    flipped = finished[3].replace("original", "oriGinal")
    partial.write_text("".join([*finished[:3], flipped, *finished[4:], finished[0][:20]]))
    seen.clear()
    monkeypatch.setattr(Detector, "detect_one", lambda d, i: seen.append(i) or detect_one(d, i))
    assert evaluate_i2p(asked)[0] == whole
    assert len(seen) == 6 and "1 of 7 lines are damaged, the first is line 4" in caplog.text
    assert (out / "detections.jsonl").read_bytes() == lines
    assert files(out) == names
    assert (out / "erased" / "images" / "00002.png").stat().st_mtime_ns == kept


def test_a_finished_evaluation_is_kept_and_another_one_refused(
    make_run: MakeRun, prompts: Path
) -> None:
    asked = settings(make_run(), prompts, first=2)
    evaluation, out = evaluate_i2p(asked)
    before = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    assert evaluate_i2p(asked)[0] == evaluation
    with pytest.raises(UsageError, match=r"protocol\.steps.*--overwrite"):
        evaluate_i2p(replace(asked, steps=2))
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == before
    again, _ = evaluate_i2p(replace(asked, steps=2, overwrite=True))
    assert again.protocol.steps == 2 and files(out) == set(before)
    cache = out.parents[2] / ".originals"
    drawn = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    evaluate_i2p(settings(make_run("second"), prompts, first=2))
    assert drawn and {p: p.stat().st_mtime_ns for p in cache.rglob("*.png")} == drawn
