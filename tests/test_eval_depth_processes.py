"""Several processes share attacks: the same files as one leaves, killed in between or not."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from support.attack_runs import save_biased_judge
from support.launches import launch_two, start_two, wait_for

from benchmarks.kill import Starter, compare

PARTS = ("attacks.0.jsonl", "attacks.1.jsonl")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What follows `expunge evaluate attack RUN`; random weights are attacked, too."""
    judge = save_biased_judge(tmp_path_factory.mktemp("judges") / "seer")
    attacks = ["--attacks", "words", "learned-word", "relearn", "invert", "--images", "2"]
    return [*attacks, "--steps", "2", "--device", "cpu", "--detector", str(judge)]


@pytest.fixture(scope="module")
def alone(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, words: list[str], starter: Starter
) -> Path:
    """A folder with a run, attacked by one process."""
    folder = tmp_path_factory.mktemp("alone")
    run = shutil.copytree(finished, folder / "case" / "run")
    starter.run(["evaluate", "attack", str(run), *words], folder / "log")
    return run.parent


def test_two_processes_leave_what_one_leaves(
    alone: Path, finished: Path, tmp_path: Path, words: list[str], starter: Starter
) -> None:
    """Byte for byte: images, what was learned, logs, figures."""
    run = shutil.copytree(finished, tmp_path / "two" / "run")
    told = launch_two(starter, ["evaluate", "attack", str(run), *words], tmp_path / "logs")
    assert told.count("figures: ") == 1
    assert compare(alone, run.parent) == []


@pytest.mark.parametrize("goes_on", [1, 2])
def test_killed_processes_leave_what_any_number_goes_on_from(
    goes_on: int, alone: Path, finished: Path, tmp_path: Path, words: list[str], starter: Starter
) -> None:
    """Killed when either has drawn something."""
    run = shutil.copytree(finished, tmp_path / "two" / "run")
    command = ["evaluate", "attack", str(run), *words]
    processes = start_two(starter, command, [tmp_path / "log-0", tmp_path / "log-1"])
    wait_for(lambda: all(any(run.parent.rglob(part)) for part in PARTS))
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert not (run / "eval" / "attack" / "evaluation.json").exists()
    if goes_on == 1:
        starter.run(command, tmp_path / "log")
    else:
        launch_two(starter, command, tmp_path / "logs")
    assert compare(alone, run.parent) == []
