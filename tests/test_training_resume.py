"""A training that was cut off ends as if it had not been: bit for bit, from its saved state."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from support.erased_runs import SHORT, bits_equal, erase, unet
from support.files import tree
from support.launches import wait_for
from support.trainings import NUMBERS, half, make_sets
from support.trainings import train as train_by
from torch import Tensor

from benchmarks.kill import Starter
from benchmarks.kill import stop as end_by
from erase.models.checkpoint import load_checkpoint
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.saved_state import Keeper
from erase.training.step_log import StepRow
from expunge.cli import main

# They take seconds, a signal a fraction of one.
STEPS = "60"
NOW = {"torch": "2.9", "processes": "1"}


class Stop(Exception):
    """Raised between two steps."""


def train(
    model: Path,
    cache: Path,
    keeper: Keeper | None = None,
    stop: int = 99,
    method: str = "salun",
    **changes: Any,
) -> tuple[list[StepRow], dict[str, Tensor]]:
    """Six steps of the tiny model, from what the keeper has; the log and all trained weights."""
    sd = load_checkpoint(str(model), device="cpu")
    sets = make_sets(sd, cache)
    sd.unet.to(changes.pop("held", torch.float32))

    def after(rows: list[StepRow], optimizer: MaskedOptimizer) -> None:
        if keeper and len(rows) == stop:
            keeper.save(rows, optimizer)
            raise Stop

    saved = keeper.load() if keeper else None
    resume = (saved.rows, saved.tensors) if saved else None
    more = {"steps": 6, "lr_schedule": "linear", "resume": resume, "progress": after} | changes
    rows, optimizer = train_by(method, sd, sets, half(sd), **more)
    return rows, {name: tensor.clone() for name, tensor in optimizer.state().items()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"teach_ahead": False},
        {"teacher": "current"},
        {"micro_batch": 2},
        {"retain_target": "teacher", "dtype": torch.bfloat16, "held": torch.bfloat16},
        {"relabel_share": 0.4, "adversaries": 2},
        {"relabel_share": 0.4, "adversaries": 2, "micro_batch": 1},
        *({"method": name} for name in NUMBERS if name != "salun"),
        *({"method": name, "micro_batch": 2} for name in NUMBERS if name != "salun"),
        {"method": "esd", "trajectory": "current"},
        {"method": "esd", "dtype": torch.bfloat16, "held": torch.bfloat16},
        {"method": "ca", "teacher": "current", "prior": 1.0, "weight_decay": 0.01},
    ],
)
def test_what_follows_a_saved_step_is_the_same(
    model_folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = train(model_folder, tmp_path, **changes)
    for stop in (1, 4):
        keeper = Keeper(tmp_path / f"state-{stop}.safetensors", "k", NOW)
        with pytest.raises(Stop):
            train(model_folder, tmp_path, keeper, stop, **changes)
        rows, weights = train(model_folder, tmp_path, keeper, **changes)
        assert [(r.step, r.losses) for r in rows] == [(r.step, r.losses) for r in whole[0]]
        assert bits_equal(weights, whole[1])


def test_a_state_that_is_damaged_or_another_training_s_is_not_used(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(tmp_path / "state.safetensors", "k", NOW)
    with pytest.raises(Stop):
        train(model_folder, tmp_path / "cache", keeper, 2)
    data = keeper.path.read_bytes()
    assert keeper.load() is not None
    assert Keeper(keeper.path, "another", NOW).load() is None
    assert keeper.path.name not in caplog.text
    for damaged in (data[:-9], data[:-40] + b"!" + data[-39:], b"", b"\xff" * 64):
        keeper.path.write_bytes(damaged)
        caplog.clear()
        assert keeper.load() is None
        assert "is damaged" in caplog.text
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["state.safetensors"]


def test_a_state_of_another_torch_or_of_more_processes_is_told_of_once(
    model_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(tmp_path / "state.safetensors", "k", NOW)
    with pytest.raises(Stop):
        train(model_folder, tmp_path / "cache", keeper, 2)
    later = Keeper(keeper.path, "k", {"torch": "9.0", "processes": "2"})
    assert later.load() is None and later.load() is None
    told = f"{keeper.path} was saved with torch 2.9, now 9.0; processes 1, now 2: training from the"
    assert caplog.text.count(told) == 1
    assert keeper.load() is not None


@pytest.fixture(scope="module")
def whole(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing cut off."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return erase(model_folder, out, "--steps", STEPS)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_after_the_step_and_the_same_command_goes_on(
    model_folder: Path,
    whole: Path,
    starter: Starter,
    tmp_path: Path,
    sent: signal.Signals,
    code: int,
) -> None:
    out = tmp_path / "run"
    words = ["erase", "church", "--model", str(model_folder), "--out", str(out), *SHORT]
    words += ["--steps", STEPS]
    log = tmp_path / "log"
    log.touch()
    process = starter.start(words, log)
    wait_for(lambda: "erasing:" in log.read_text() or process.exitcode is not None)
    assert end_by(process, 0.2, sent) and process.exitcode == code, log.read_text()
    assert f"of {STEPS} is saved, the same command resumes" in log.read_text().splitlines()[-1]
    assert (out / "state.safetensors").is_file() and not (out / "unet").exists()
    assert main(words) == 0
    assert not (out / "state.safetensors").exists()
    assert bits_equal(unet(out), unet(whole))
    files = [sorted(n for n in tree(f) if "cache" not in n) for f in (out, whole)]
    assert files[0] == files[1]
