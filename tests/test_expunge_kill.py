"""`kill -9` at any moment, SIGTERM at any moment: the same command ends with the same bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.attack_runs import save_biased_judge
from support.launches import wait_for

from benchmarks.kill import Options, Starter, commands, compare, kill_often, stop


@pytest.fixture
def options(model_folder: Path, prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A run of some seconds."""
    small = {"forget": 6, "retain": 8, "inference_steps": 2, "steps": 20, "rows": 6}
    judge = save_biased_judge(tmp_path_factory.mktemp("judges") / "seer")
    return Options(
        model=str(model_folder), prompts=prompts, kills=10, attacks=("words", "learned-word"),
        detector=judge, **small
    )  # fmt: skip


def test_ten_kills_end_in_ten_equal_results(options: Options, tmp_path: Path) -> None:
    rows = list(kill_often(options, tmp_path))
    assert [row["different"] for row in rows] == [[]] * len(rows)
    assert sum(row["met"] for row in rows) == 10
    assert len({row["left"] for row in rows}) > 3


def test_a_difference_would_be_seen(options: Options, starter: Starter, tmp_path: Path) -> None:
    whole, other = tmp_path / "case", tmp_path / "other"
    for folder in (whole, other):
        starter.run(commands(options, folder)[0], tmp_path / "log")
    assert compare(whole, other) == []
    mask = other / "run" / "mask.safetensors"
    mask.write_bytes(mask.read_bytes()[:-1] + b"!")
    (other / "run" / ".stray").touch()
    assert compare(whole, other) == ["run/.stray", "run/mask.safetensors"]


@pytest.mark.parametrize(
    ("command", "sign"),
    [
        (0, "run/cache/forget-*/images/*.safetensors"),
        (1, "run/eval/i2p/erased/images/*.png"),
        (2, "run/eval/attack/erased/states/*/*.pt"),
    ],
    ids=["sets", "evaluate", "attack"],
)
def test_sigterm_ends_at_once_in_one_line_and_the_same_command_goes_on(
    options: Options, starter: Starter, tmp_path: Path, command: int, sign: str
) -> None:
    """In a set's drawing, and in an evaluation's."""
    whole, other, log = tmp_path / "case", tmp_path / "other", tmp_path / "log"
    for words in commands(options, whole)[: command + 1]:
        starter.run(words, log)
    *before, words = commands(options, other)[: command + 1]
    for each in before:
        starter.run(each, log)
    log.write_text("")
    process = starter.start(words, log)
    wait_for(lambda: any(other.glob(sign)) or process.exitcode is not None)
    assert stop(process, 0, signal.SIGTERM) and process.exitcode == 143
    last = log.read_text().splitlines()[-1]
    assert last == "expunge: interrupted; the same command goes on from what is finished"
    assert "Traceback" not in log.read_text()
    starter.run(words, log)
    assert compare(whole, other) == []
