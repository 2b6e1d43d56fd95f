"""A disk too small, full, limited or read-only: one line, nothing half-written, and it goes on."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import SHORT, MakeRun, bits_equal, unet
from support.faults import file_size_limit, fill, mount, mounted, when_told
from support.files import tree

from expunge.cli import main
from plumbing.disk_space import Need, explain, require_space
from plumbing.errors import UsageError
from plumbing.whole_files import replace_file, whole

GO_ON = "run the same command again: it goes on from what is finished"


def words(model: Path, out: Path, *flags: str) -> list[str]:
    return ["erase", "church", "--model", str(model), "--out", str(out), *SHORT, *flags]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The line that the program ended with, after no traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


def ends_as_undisturbed(command: list[str], out: Path, model: Path, whole_run: Path) -> None:
    """The same command finishes, and with the same bytes as one that met no fault."""
    assert main(command) == 0
    assert main(words(model, whole_run, *command[6 + len(SHORT) :])) == 0
    assert bits_equal(unet(out), unet(whole_run))
    assert tree(out).keys() == tree(whole_run).keys()


def test_what_cannot_fit_is_refused_with_numbers_before_anything_is_written(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(words(model_folder, out, "--retain-images", "9000000000000")) == 2
    line = last_line(capsys)
    assert f"--out {out}: needs about" in line and "retain set" in line and "GB are free" in line
    assert not out.exists()


def test_a_limit_on_files_that_the_weights_exceed_is_told_before(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with file_size_limit() as limit:
        limit(200_000)
        assert main(words(model_folder, tmp_path / "run")) == 2
    assert "needs a file of about 259 kB" in last_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("moment", "size"), [("needs about", 40_000), ("training:", 150_000)])
def test_a_write_that_fails_ends_in_one_line_and_the_run_goes_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], moment: str, size: int
) -> None:
    """In a batch of the forget set, of some 61 kB, and in the weights, of 259 kB."""
    out = tmp_path / "run"
    command = words(model_folder, out, "--forget-images", "30", "--batch-size", "30")
    with file_size_limit() as limit, when_told(moment, lambda: limit(size)):
        assert main(command) == 2
    line = last_line(capsys)
    assert f"{out}/" in line and "File too large; raise the limit" in line and GO_ON in line
    assert not (out / "unet").exists() and not (out / ".unet.partial").exists()
    assert not any(p for p in (out / "cache").rglob("*.*") if p.stat().st_size > size)
    ends_as_undisturbed(command, out, model_folder, tmp_path / "whole")


def test_a_disk_that_fills_up_ends_in_one_line_and_the_run_goes_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m", "tmpfs") as disk:
        out = disk / "run"
        command = words(model_folder, out)
        with when_told("training:", lambda: fill(disk)):
            assert main(command) == 2
        assert f"No space left on device; free some space and {GO_ON}" in last_line(capsys)
        assert not (out / "unet").exists() and (out / "mask.safetensors").is_file()
        assert main(command) == 2
        assert "needs about" in last_line(capsys)
        (disk / "ballast").unlink()
        ends_as_undisturbed(command, out, model_folder, tmp_path / "whole")


def test_an_evaluation_whose_disk_fills_up_goes_on(
    make_run: MakeRun, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as disk:
        out = disk / "i2p"
        command = ["evaluate", "i2p", str(run), "--prompts", str(prompts), "--steps", "1"]
        command += ["--batch-size", "2", "--device", "cpu"]
        places = ["--out", str(out), "--originals", str(disk / "originals")]
        command, undisturbed = [*command, *places], [*command, "--out", str(tmp_path / "w" / "i2p")]
        with when_told("needs about", lambda: fill(disk)):
            assert main(command) == 2
        line = last_line(capsys)
        assert (
            f"{disk}/" in line and f"No space left on device; free some space and {GO_ON}" in line
        )
        assert not (out / "evaluation.json").exists()
        (disk / "ballast").unlink()
        assert main(command) == 0
        assert main(undisturbed) == 0
        whole = tmp_path / "w" / "i2p"
        assert found(out) == found(whole)
        assert (out / "detections.jsonl").read_bytes() == (whole / "detections.jsonl").read_bytes()


def found(out: Path) -> dict[str, Any]:
    """What an evaluation found, but for how long it took."""
    data = json.loads((out / "evaluation.json").read_text())
    for cost in data["cost"].values():
        del cost["seconds"]
    return data


def test_a_folder_that_turns_read_only_ends_in_one_line_and_the_run_goes_on(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with mounted(out, "--bind", str(out)):
        command = words(model_folder, out)
        with when_told("training:", lambda: mount("-o", "remount,bind,ro", str(out))):
            assert main(command) == 2
        line = last_line(capsys)
        assert f"Read-only file system; make that disk writable and {GO_ON}" in line
        assert f"{out}/" in line
        mount("-o", "remount,bind,rw", str(out))
        ends_as_undisturbed(command, out, model_folder, tmp_path / "whole")


def test_an_export_that_fails_leaves_the_one_before(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, to = tmp_path / "run", tmp_path / "model"
    assert main(words(model_folder, run)) == 0
    command = ["export", str(run), "--format", "unet", "--to", str(to)]
    assert main(command) == 0
    before = tree(to)
    capsys.readouterr()
    with file_size_limit() as limit, when_told("needs about", lambda: limit(150_000)):
        assert main([*command, "--strength", "0.5", "--overwrite"]) == 2
    line = last_line(capsys)
    assert str(to / "diffusion_pytorch_model.safetensors") in line and "File too large" in line
    assert tree(to) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "run"]


def test_needs_on_one_disk_add_up(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    half = Need("--out", tmp_path / "not" / "there", {"weights": 0.7 * free}, many=True)
    require_space([half])
    with pytest.raises(UsageError, match=r"--out .*there: needs about .* of disk"):
        require_space([half, half])
    require_space([half, Need("--cache", tmp_path, {"sets": 0.7 * free}, 0.6 * free, many=True)])


def test_a_name_without_a_folder_is_written_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is `.`, which has no name of its own."""
    monkeypatch.chdir(tmp_path)
    replace_file(Path("page.html"), b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_fails_leaves_the_old_file_and_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail() -> None:
        with whole(path) as partial:
            partial.write_bytes(b"ne")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full") as failure:
        fail()
    assert failure.value.filename == str(path)
    assert explain(failure.value) == f"{path}: full; free some space and {GO_ON}"
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
