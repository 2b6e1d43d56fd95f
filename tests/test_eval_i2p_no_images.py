"""`evaluate i2p --no-images`: the same figures, and of each image hash and detections alone."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import MakeRun
from support.files import files, jsonl
from support.i2p import settings

from eval.generation.generate import draw_batches
from eval.generation.image_log import Generation
from eval.judges.nudenet import Detector
from expunge.cli import main
from expunge.commands.evaluate_i2p import table
from expunge.evaluations.i2p import evaluate_i2p


def images(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Records (model, id) of what is drawn from now on."""
    seen: list[tuple[str, str]] = []

    def counted(*given: Any) -> Iterator[list[Generation]]:
        for batch in draw_batches(*given):
            seen.extend((image.model, image.id) for image in batch)
            yield batch

    monkeypatch.setattr("eval.i2p.judge_and_remove.draw_batches", counted)
    return seen


@pytest.mark.usefixtures("moons")
def test_the_figures_are_the_same_and_no_image_stays(make_run: MakeRun, prompts: Path) -> None:
    run = make_run()
    bare, out = evaluate_i2p(settings(run, prompts, no_images=True))
    assert images(run.parent) == []
    logs = {f"{model}/generations.jsonl" for model in ("original", "erased")}
    told = {name for name in files(out) if "judged-" not in name}
    assert told == logs | {"detections.jsonl", "evaluation.json"}
    whole, shown = evaluate_i2p(settings(run, prompts, out=run / "whole", originals=run / "cache"))
    assert (bare.original, bare.erased) == (whole.original, whole.erased)
    assert bare.control and (bare.control, bare.collapsed) == (whole.control, whole.collapsed)
    assert bare.erased and bare.erased.curve[0].total > 0
    assert (out / "detections.jsonl").read_bytes() == (shown / "detections.jsonl").read_bytes()
    for model in ("original", "erased"):
        kept, full = (jsonl(place / model / "generations.jsonl") for place in (out, shown))
        # Of the control images, which count for nothing, no hash stays either.
        told = {row["id"] for row in kept}
        counted = [row["sha256"] for row in full if row["id"] in told]
        assert [row["sha256"] for row in kept] == counted and len(counted) == 6
    assert "note: no images: each was removed once it was judged" in table(bare)


@pytest.mark.usefixtures("moons")
def test_what_was_judged_before_a_kill_is_not_drawn_again(
    make_run: MakeRun,
    prompts: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At most a batch is on disk at any time, the one that was being judged."""
    run = make_run()
    judge, calls = Detector.detect, []

    def interrupted(self: Detector, paths: Sequence[Path], workers: int | None = None) -> Any:
        calls.append(len(images(run.parent)))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(self, paths, workers)

    monkeypatch.setattr(Detector, "detect", interrupted)
    before = drawn(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        evaluate_i2p(settings(run, prompts, batch_size=2, no_images=True))
    monkeypatch.setattr(Detector, "detect", judge)
    assert max(calls) <= 2 and len(images(run.parent)) <= 2
    judged = [json.loads(line) for path in run.parent.rglob("judged-*") for line in path.open()]
    names = {(line["generation"]["model"], line["generation"]["id"]) for line in judged}
    # A kill tears a line; a disk flips a bit in another, in a number.
    log = next(p for p in run.parent.rglob("judged-*.0.jsonl") if p.stat().st_size)
    torn = json.loads(log.read_text().splitlines()[0])["generation"]
    text = log.read_text()
    place = text.index('"steps": 1') + 9
    log.write_text(f"{text[:place]}3{text[place + 1 :]}" + text[:50])
    names.discard((torn["model"], torn["id"]))
    first, after = list(before), before
    after.clear()
    evaluate_i2p(settings(run, prompts, batch_size=2, no_images=True))
    assert names and names <= set(first) and not names & set(after)
    assert f"{log}: 1 of 2 lines are damaged, the first is line 1" in caplog.text
    assert images(run.parent) == []


@pytest.mark.usefixtures("moons")
def test_the_originals_judgements_serve_the_next_run(
    make_run: MakeRun, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_i2p(settings(make_run("a"), prompts, no_images=True))
    seen = drawn(monkeypatch)
    evaluation, _ = evaluate_i2p(settings(make_run("b", shift=0.1), prompts, no_images=True))
    # Control images are looked at and gone: nothing of them would serve.
    counted = {(model, row) for model, row in seen if not row.startswith("control")}
    assert {model for model, _ in counted} == {evaluation.models["erased"]["sha256"]}


@pytest.mark.usefixtures("moons")
def test_a_finished_evaluation_loses_its_images_on_request(
    make_run: MakeRun, prompts: Path
) -> None:
    """Those of the original stay in the cache, where other evaluations look for them."""
    run = make_run()
    before, out = evaluate_i2p(settings(run, prompts))
    assert len(images(out)) == 2 * (6 + 24)
    after, _ = evaluate_i2p(settings(run, prompts, no_images=True))
    assert images(out) == [] and "images" in after.notes
    assert (after.original, after.erased) == (before.original, before.erased)
    again, _ = evaluate_i2p(settings(run, prompts))
    assert again == after


@pytest.mark.usefixtures("moons")
def test_the_report_says_so_and_does_without(make_run: MakeRun, prompts: Path) -> None:
    run = make_run()
    evaluate_i2p(settings(run, prompts, no_images=True))
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "removed once it was judged" in page and "no image of it was kept" in page
    assert "<img" not in page and "image missing" not in page
    assert main(["report", str(run), "--format", "md"]) == 0
    text = (run / "report.md").read_text()
    assert "no image of it was kept" in text and "--no-images" in text
