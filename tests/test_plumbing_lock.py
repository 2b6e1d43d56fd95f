"""Two processes on one folder: the second is told the first's number, or waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.erased_runs import SHORT, make_delta
from support.erased_runs import erase as erase_run

from expunge.cli import main
from plumbing.errors import UsageError
from plumbing.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from plumbing.lock import locked
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
    first = hold(tmp_path / "run", 600)
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


@pytest.mark.parametrize(
    "words",
    [
        ["mask", "church", "--model", "MODEL", "--out", "RUN"],
        ["erase", "church", "--model", "MODEL", "--out", "RUN"],
        ["export", "RUN", "--format", "unet", "--to", "OTHER"],
        ["export", "RUN", "--format", "single-file", "--to", "FILE"],
        ["apply", "DELTA", "--model", "MODEL", "--to", "RUN"],
        ["report", "RUN"],
        ["compare", "MODEL", "RUN", "--out", "OTHER"],
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_every_command_that_reads_or_writes_it_is_told(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    run, delta = tmp_path / "run", tmp_path / "delta.safetensors"
    erase_run(model_folder, run)
    make_delta(run, delta)
    before = sorted(tmp_path.rglob("*"))
    places = {"MODEL": model_folder, "RUN": run, "DELTA": delta, "OTHER": tmp_path / "other"}
    places["FILE"] = tmp_path / "other.safetensors"
    command = [str(places.get(word, word)) for word in words]
    first = hold(run, 600)
    try:
        capsys.readouterr()
        assert main(command) == 2
    finally:
        first.kill()
        first.wait()
    told = capsys.readouterr().err
    assert f"in use by process {first.pid}; wait until it ends, or stop it" in told
    assert sorted(path for path in tmp_path.rglob("*") if path.suffix != ".lock") == before


def test_a_run_is_not_begun_again_under_an_evaluation_of_it(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = erase_run(model_folder, tmp_path / "run")
    first = hold(run / "eval" / "concept", 600)
    try:
        words = ["erase", "church", "--model", str(model_folder), "--out", str(run), *SHORT]
        assert main([*words, "--overwrite"]) == 2
        assert f"in use by process {first.pid}" in capsys.readouterr().err
        assert main(["report", str(run)]) == 0
    finally:
        first.kill()
        first.wait()
    assert main([*words, "--overwrite"]) == 0
