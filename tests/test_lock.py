"""Two processes on one folder: the second is told the first's number, or waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from erased_runs import SHORT

from erase.cli import main
from erase.commands.lock import locked
from prompts.errors import UsageError

HOLD = """
import sys, time
from pathlib import Path
from erase.commands.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that has the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_of_the_first(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = hold(tmp_path / "run", 60)
    words = ["erase", "church", "--model", str(model_folder), "--out", str(tmp_path / "run")]
    assert main([*words, *SHORT]) == 2
    said = capsys.readouterr().err
    assert f"in use by process {first.pid}; wait until it ends, or stop it" in said
    assert not (tmp_path / "run").exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    with locked(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_that_waits_comes_next(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = hold(tmp_path / "originals", 0.5)
    with caplog.at_level("INFO"), locked(tmp_path / "originals", wait=True):
        assert f"in use by process {first.pid}: waiting" in caplog.text
        assert (tmp_path / ".originals.lock").read_text() == str(os.getpid())
    first.wait()
    assert list(tmp_path.iterdir()) == []


def test_within_a_process_a_folder_is_had_once(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(UsageError, match=f"--out .*run: in use by process {os.getpid()}"),
        locked(tmp_path / "run"),
    ):
        pass


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UsageError, match=r"--out .*: cannot be written"),
        locked(tmp_path / "file" / "run"),
    ):
        pass
