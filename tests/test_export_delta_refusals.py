"""Deltas, bases and models that do not belong together, and files that are no deltas."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, EraseOnce, apply, flip_lowest_bit, make_delta, undo

from erase.export.delta import read_delta
from erase.run_folder.folder import read_run, write_run
from expunge.cli import main
from plumbing.whole_files import sha256_file


@pytest.fixture(scope="module")
def delta(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its delta; not to be altered."""
    return make_delta(finished, tmp_path_factory.mktemp("deltas") / "church.safetensors")


def test_a_type_that_cannot_hold_the_base_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--format", "delta", "--dtype", "bf16", "--to", str(tmp_path / "a")]
    assert main(["export", str(finished), *flags]) == 2
    assert "would not come back from bfloat16" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_base_is_refused(
    delta: Path, other_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(other_model_folder, tmp_path / "out", delta) == 2
    error = capsys.readouterr().err
    assert "not the base of" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_differs_in_one_bit_of_an_untouched_weight_is_refused(
    delta: Path, model_folder: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    flip_lowest_bit(base / UNET, "conv_in.bias")
    assert apply(base, tmp_path / "out", delta) == 2


def test_undo_refuses_what_the_delta_did_not_make(
    finished: Path,
    delta: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = sorted(read_delta(delta).specs)[0]
    for name in (changed, "conv_in.bias"):
        run = shutil.copytree(finished, tmp_path / name)
        flip_lowest_bit(run / UNET, name)
        assert undo(run, tmp_path / "out", delta) == 2
        assert "is not what the run wrote" in capsys.readouterr().err
        # Nor if the run says that it wrote this.
        record = read_run(run)
        weights = {**record.weights, UNET: sha256_file(run / UNET)}
        write_run(run, replace(record, weights=weights))
        assert undo(run, tmp_path / "out", delta) == 2
        assert "are not what" in capsys.readouterr().err
    assert undo(model_folder, tmp_path / "out", delta) == 2
    flags = ["--dtype", "fp16", "--to", str(tmp_path / "narrow")]
    assert main(["export", str(finished), *flags]) == 0
    assert undo(tmp_path / "narrow", tmp_path / "out", delta) == 2
    assert "is float16, the delta is of float32" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_narrowed_undo_is_checked_before_it_rounds(
    half_folder: Path, erase_once: EraseOnce, tmp_path: Path
) -> None:
    """A lowest float32 bit that float16 would round away is a difference all the same."""
    run = shutil.copytree(erase_once(model=half_folder), tmp_path / "run")
    path = make_delta(run, tmp_path / "delta.safetensors")
    assert undo(run, tmp_path / "sound", path) == 0
    flip_lowest_bit(run / UNET, sorted(read_delta(path).specs)[0])
    assert undo(run, tmp_path / "out", path) == 2


def test_damaged_deltas_are_refused(
    delta: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(delta)
    with safe_open(delta, "pt") as file:
        metadata = file.metadata()
    first = next(name for name in tensors if name.startswith("xor:"))
    name = first.removeprefix("xor:")
    where = next(key for key in tensors if key in (f"bits:{name}", f"index:{name}"))

    def refused(changes: dict[str, torch.Tensor | None], message: str, **told: str) -> None:
        path = tmp_path / "bad.safetensors"
        content = {n: t for n, t in (tensors | changes).items() if t is not None}
        header = metadata | {f"expunge.{key}": value for key, value in told.items()}
        save_file(content, path, metadata=header)
        assert apply(model_folder, tmp_path / "out", path) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1

    refused({first: tensors[first] ^ 1}, "damaged")
    refused({first: tensors[first][1:]}, "are not sound")
    refused({first: None}, "not a sound delta")
    # One number that is no list of them.
    one = {first: tensors[first][:1], f"index:{name}": torch.tensor(0, dtype=torch.int32)}
    refused({f"bits:{name}": None, **one}, "are not sound")
    refused({where: torch.zeros_like(tensors[where])}, "are not sound")
    refused({"bits:more": tensors[where].clone()}, "not a sound delta")
    refused({first: tensors[first].float()}, "not a sound delta")
    refused({}, "no delta of this format", version="3")
    refused({}, "not a sound delta", dtype="elephant")
    refused({}, "not a sound delta", dtype="nn")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.safetensors"}


def test_files_that_are_no_deltas_are_refused(
    finished: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("a delta")
    for path, message in (
        (finished / UNET, "is a UNet with diffusers' names; make a delta"),
        (tmp_path / "text", "this is a text (a delta)"),
        (tmp_path / "nothing", "no such file"),
    ):
        assert apply(model_folder, tmp_path / "out", path) == 2
        assert message in capsys.readouterr().err


def test_a_run_that_changed_other_weights_gives_no_delta(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    flip_lowest_bit(run / UNET, "conv_in.bias")
    assert main(["export", str(run), "--format", "delta"]) == 2
    assert "conv_in.bias differs from the base outside the mask" in capsys.readouterr().err
    assert main(["export", str(finished), "--format", "delta", "--strength", "0"]) == 2
    assert "nothing differs" in capsys.readouterr().err
