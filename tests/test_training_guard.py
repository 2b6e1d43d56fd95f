"""A training that goes wrong is taken back to where it was right, and its run says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.erased_runs import SHORT, bits_equal, unet
from support.salun_steps import make_sets

from erase.methods import salun
from erase.models.bundle import Bundle
from erase.run_folder.folder import read_run
from erase.run_folder.record import RunRecord
from erase.training import saved_state as training_state
from erase.training import watch
from erase.training.drift import DriftProbe, held_out
from erase.training.masked_optimizer import MaskedOptimizer
from expunge.cli import main

GUARDED = [word for word in SHORT if word != "--no-guard"]


def run(model: Path, out: Path, *flags: str, code: int = 0) -> RunRecord:
    """`expunge erase` of the tiny model, looked at after every second step; its run.json."""
    words = ["erase", "church", "--model", str(model), "--out", str(out), *GUARDED, *flags]
    assert main(words) == code
    return read_run(out)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every second step, and save each that passes."""
    monkeypatch.setattr(watch, "EVERY", 2)
    monkeypatch.setattr(training_state, "SHARE", 0)


def original(model: Path) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in unet(model).items()}


def test_drift_is_0_of_the_original_and_1_of_other_prompts(tiny: Bundle, tmp_path: Path) -> None:
    """A UNet that answers every prompt as the one before it is as far off as prompts are apart."""
    told = tiny.encode(("a dog", "a tree", "an apple"))
    _, retain = make_sets(tiny, tmp_path, "a dog")
    schedule = tiny.schedule

    def probe(at_once: int) -> DriftProbe:
        return DriftProbe.of(
            tiny.unet, schedule, 0.5, retain, told, at_once=at_once, dtype=torch.float32
        )

    assert probe(3).measure(tiny.unet) == 0
    torch.testing.assert_close(probe(3).original, probe(2).original)
    rolled = tiny.unet.forward

    def swapped(latents: Any, timesteps: Any, told: torch.Tensor, **more: Any) -> Any:
        return rolled(latents, timesteps, told.roll(1, 0), **more)

    guard = probe(3)
    tiny.unet.forward = swapped
    assert guard.measure(tiny.unet) == pytest.approx(1, rel=1e-4)


def test_prompts_that_are_not_trained_on_come_first() -> None:
    assert held_out(("a", "b", "c", "d"), ("a", "c"), 3) == ("b", "d", "a")
    assert held_out(("a",), (), 2) == ("a", "a")


def test_an_absurd_rate_ends_with_a_usable_model_and_a_report_that_says_so(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    record = run(model_folder, tmp_path / "run", "--steps", "8", "--lr", "3", code=1)
    table = capsys.readouterr().out
    assert "nothing of church" in table and "weights changed  0 of" in table
    assert record.stopped.reason == "drift"
    assert (record.stopped.step, record.stopped.kept_step) == (2, 0)
    assert record.guard.drift[-1][1] > record.guard.limit
    assert bits_equal(unet(tmp_path / "run"), original(model_folder))
    assert "stopped after step 2 of 8" in caplog.text and "the original's" in caplog.text
    assert main(["verify", str(tmp_path / "run")]) == 0
    # The very same run is there, finished, and still not what was asked for.
    assert run(model_folder, tmp_path / "run", "--steps", "8", "--lr", "3", code=1) == record


def test_without_a_guard_it_goes_on(model_folder: Path, tmp_path: Path) -> None:
    record = run(model_folder, tmp_path / "run", "--steps", "4", "--lr", "3", "--no-guard")
    assert (record.stopped, record.guard) == (None, None)
    assert not bits_equal(unet(tmp_path / "run"), original(model_folder))


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_numbers_that_are_not_finite_take_it_back_to_the_last_state(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    steps = 0
    losses = salun.step_losses

    def poisoned(*given: Any) -> Any:
        nonlocal steps
        steps += 1
        forget, retain = losses(*given)
        if steps == 6 and where == "gradient":
            forget.register_hook(lambda gradient: gradient * torch.nan)
        return (forget * torch.nan if steps == 6 and where == "loss" else forget), retain

    with monkeypatch.context() as patched:
        patched.setattr(salun, "step_losses", poisoned)
        record = run(model_folder, tmp_path / "bad", "--steps", "8", code=1)
    assert record.stopped.reason == "not finite"
    assert (record.stopped.step, record.stopped.kept_step) == (6, 4)
    assert "not finite at step 6; try a --lr below 0.001" in record.stopped.told
    run(model_folder, tmp_path / "good", "--steps", "4")
    assert bits_equal(unet(tmp_path / "bad"), unet(tmp_path / "good"))
    text = (tmp_path / "bad" / "train_log.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert (rows[-1]["losses"]["forget"] is None) == (where == "loss") and "NaN" not in text
    assert main(["report", str(tmp_path / "bad")]) == 0
    assert "train_log.jsonl are broken" not in (tmp_path / "bad" / "report.html").read_text()


@pytest.mark.parametrize("step", [1, 3])
def test_when_memory_runs_out_half_as_many_are_taken_at_once(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: int,
) -> None:
    """As torch reports it, in the middle of a backward pass, after some weights have changed."""
    seen = 0
    updated = MaskedOptimizer.step

    def short(self: MaskedOptimizer) -> None:
        nonlocal seen
        updated(self)
        seen += 1
        if seen == step:
            raise RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you …")

    with monkeypatch.context() as patched:
        patched.setattr(MaskedOptimizer, "step", short)
        record = run(model_folder, tmp_path / "short", "--steps", "6")
    assert caplog.text.count("memory ran out: going on with") == 1
    assert record.training.micro_batch == 1 and record.stopped is None
    rows = [json.loads(line) for line in (tmp_path / "short/train_log.jsonl").open()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    run(model_folder, tmp_path / "small", "--steps", "6", "--micro-batch", "1")
    if step == 1:
        assert bits_equal(unet(tmp_path / "short"), unet(tmp_path / "small"))
    else:
        # Two steps were of whole batches: the same but for rounding, which Adam makes much of.
        before, small = original(model_folder), unet(tmp_path / "small")
        moved = sum(float((small[name] - before[name]).abs().sum()) for name in before)
        apart = sum(
            float((tensor - small[name]).abs().sum())
            for name, tensor in unet(tmp_path / "short").items()
        )
        assert 0 < apart < 0.2 * moved


def test_a_training_that_cannot_be_made_smaller_ends_in_one_line(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def short(self: MaskedOptimizer) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B")

    monkeypatch.setattr(MaskedOptimizer, "step", short)
    words = ["erase", "church", "--model", str(model_folder), "--out", str(tmp_path / "run")]
    assert main([*words, *SHORT]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("expunge: error: memory ran out") and "--train-method xattn" in line
    assert not (tmp_path / "run" / "unet").exists()
