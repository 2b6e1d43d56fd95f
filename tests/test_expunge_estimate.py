"""`erase --dry-run`: what is timed is what would be done, and what would be refused is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.files import written
from test_expunge_bill import asked, bill

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.prediction import predict
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs import estimate, trained
from expunge.runs.plan import make_plan
from expunge.runs.record import Ledger, begin
from expunge.runs.roles import load_method
from plumbing.processes import ALONE


@pytest.mark.parametrize("method", ["uce", "rece", "speed"])
def test_a_closed_form_takes_the_passes_that_were_estimated(
    model_folder: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It trains nothing, and looks whether the model draws the concept, as every run does."""
    where = ["--model", str(model_folder), "--out", str(tmp_path / "run"), "--json"]
    words = ["erase", "church", "--method", method, *where, "--inference-steps", "3"]
    told = bill([*words, "--dry-run"], capsys)
    assert list(tmp_path.iterdir()) == []
    done = bill(words, capsys)
    counted = {stage: parts["denoiser"] for stage, parts in done["passes"].items()}
    # 16 images of 3 steps, with and without the prompt.
    assert told["passes"]["probe"] == 16 * 3 * 2
    assert {**told["passes"], "export": 0} == counted
    assert told["seconds"].keys() == told["passes"].keys() and told["seconds"]["probe"] > 0


def test_the_folder_of_another_run_is_refused_before_it_is_estimated(
    run: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = asked(model_folder, run, "--dry-run")
    there = written(run)
    assert main(words) == 2 and "used by another run" in capsys.readouterr().err
    assert bill([*words, "--overwrite"], capsys)["passes"]["train"] > 0
    assert written(run) == there


def prepared(model: Path, out: Path, *flags: str) -> tuple[Bundle, trained.Prepared]:
    """A training that can begin."""
    plan = make_plan("erase", parse(("erase",), asked(model, out, *flags)[1:]))
    sd = load_checkpoint(plan.source, device="cpu", dtype="float32")
    method, ledger = load_method(plan.method), Ledger(plan.out, begin(plan.identity))
    assert not isinstance(method, estimate.ClosedForm)
    return sd, trained.prepare(method, sd, plan, ALONE, ledger)


@pytest.mark.parametrize("flags", [(), ("--train-method", "kv"), ("--method", "leco")])
def test_a_pass_is_timed_with_the_gradients_of_what_is_trained_alone(
    model_folder: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Of a whole SDXL the others would take 10 GB that the training does not need."""
    sd, found = prepared(model_folder, tmp_path / "run", *flags)
    how = replace(found.how, weights="bfloat16", checkpointing=True)
    estimate.prepare_to_learn(sd.denoiser, replace(found, how=how))
    wanted = {n for n, p in sd.denoiser.named_parameters() if p.requires_grad}
    assert wanted == found.parameters.keys() and 0 < len(wanted) < len(sd.denoiser.state_dict())
    assert sd.denoiser.dtype == torch.bfloat16 and sd.denoiser.is_gradient_checkpointing
    seen: list[str] = []
    for name, parameter in found.parameters.items():
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen.append(name))
    noisy, times, told = sd.architecture.example(sd.denoiser.config)
    with torch.autocast("cpu", torch.bfloat16):
        predict(sd.denoiser, noisy, times, told).square().mean().backward()
    assert set(seen) == wanted
    assert all(parameter.grad is None for parameter in sd.denoiser.parameters())


def test_where_memory_ends_fewer_rows_are_timed() -> None:
    """As drawing and training take fewer at once; what does not fit by itself is told."""
    calls: list[int] = []

    def work(rows: int) -> None:
        calls.append(rows)
        if rows > 3:
            raise RuntimeError("CUDA out of memory.")

    assert 0 < estimate._timed(work, 13) < 1
    assert calls[:3] == [13, 6, 3] and set(calls[3:]) == {3}

    def never(rows: int) -> None:
        raise RuntimeError("CUDA out of memory.")

    with pytest.raises(RuntimeError, match="out of memory"):
        estimate._timed(never, 4)
