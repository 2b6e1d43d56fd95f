"""`expunge verify` of exports in every format, of what `apply` makes, and of what is neither."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.erased_runs import UNET, apply, erase, make_delta, undo
from support.files import tree
from support.single_files import save_single
from support.verified_files import (
    UNSELECTED,
    Change,
    Tensors,
    altered,
    export,
    failed,
    flipped,
    renamed,
    ruined,
    skipped,
    states,
)

from erase.run_folder.folder import read_run
from expunge.cli import main

# A weight without its name can be compared with nothing.
NAMELESS = {"names and shapes", "unselected weights", "changed weights"}


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("unet", ()),
        ("unet", ("--strength", "0.5")),
        ("unet", ("--dtype", "bf16")),
        ("pipeline", ("--dtype", "fp16", "--strength", "1.25")),
        ("pipeline", ()),
        ("single-file", ()),
        ("delta", ()),
        ("delta", ("--strength", "0.5")),
    ],
)
def test_every_export_passes_with_its_run_its_base_or_alone(
    kind: str,
    flags: tuple[str, ...],
    finished: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    name = "it" if kind in ("unet", "pipeline") else "it.safetensors"
    to = export(finished, tmp_path / name, kind, *flags)
    before = tree(tmp_path)
    with_run = states(to, capsys, "--run", str(finished))
    assert set(with_run.values()) == {"ok"}
    assert {"mask", "unselected weights", "changed weights", "as the run gives"} <= set(with_run)
    base = ("--base", str(model_folder))
    # A delta does not tell what was let train.
    more = {"unselected weights"} if kind == "delta" else set()
    assert skipped(to, capsys, *base) == {"as the run gives"} | more
    assert not failed(to, capsys, *base)
    left = {"the base's digest", "unselected weights", "changed weights"}
    names = {"names and shapes"} if kind == "single-file" else set()
    assert skipped(to, capsys) == left | names
    assert not failed(to, capsys)
    assert tree(tmp_path) == before


def test_an_export_in_its_run_finds_it(finished: Path, tmp_path: Path, capsys: Any) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    assert main(["export", str(run), "--format", "single-file"]) == 0
    capsys.readouterr()
    assert main(["verify", str(run / "export" / "single-file.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "skipped" not in shown and "all is as recorded" in shown and "as the run gives" in shown


@pytest.mark.parametrize("kind", ["unet", "pipeline"])
@pytest.mark.parametrize(
    ("change", "expected", "alone"),
    [
        (flipped("conv_in.bias"), UNSELECTED, set()),
        (renamed("conv_in.bias"), {*NAMELESS, "as the run gives"}, {"names and shapes"}),
        (ruined("conv_in.bias"), {*UNSELECTED, "finite"}, {"finite"}),
    ],
)
def test_a_wrong_tensor_in_a_folder(
    kind: str,
    change: Change,
    expected: set[str],
    alone: set[str],
    finished: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    to = export(finished, tmp_path / "it", kind)
    file = to / UNET if kind == "pipeline" else to / Path(UNET).name
    altered(file, file, change)
    assert failed(to, capsys, "--run", str(finished)) == expected
    by_base = expected - {"as the run gives"}
    assert failed(to, capsys, "--base", str(model_folder)) == by_base
    assert failed(to, capsys) == alone


def test_another_part_of_a_pipeline(finished: Path, tmp_path: Path, capsys: Any) -> None:
    to = export(finished, tmp_path / "it", "pipeline")
    part = to / "text_encoder" / "model.safetensors"
    altered(part, part, flipped(min(load_file(part))))
    assert failed(to, capsys, "--run", str(finished)) == {"the other parts"}
    assert not failed(to, capsys)


def test_a_wrong_delta(finished: Path, model_folder: Path, tmp_path: Path, capsys: Any) -> None:
    """One flipped bit makes another UNet of the base, though only the run tells which."""
    delta = make_delta(finished, tmp_path / "delta.safetensors")
    key = next(n for n in load_file(delta) if n.startswith("xor:"))

    def change(tensors: Tensors) -> None:
        tensors[key][0] ^= 2

    wrong = altered(delta, tmp_path / "wrong.safetensors", change)
    assert failed(wrong, capsys, "--run", str(finished)) == {"the erased UNet", "as the run gives"}
    assert failed(wrong, capsys, "--base", str(model_folder)) == {"the erased UNet"}


def test_another_base(
    finished: Path, other_model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    changed = {"the base's digest", "unselected weights", "changed weights"}
    base = ("--base", str(other_model_folder))
    to = export(finished, tmp_path / "it.safetensors", "single-file")
    single = {"everything else"}
    assert failed(to, capsys, *base) == changed | single
    to = export(finished, tmp_path / "it", "pipeline")
    assert failed(to, capsys, *base) == changed | {"the other parts"}
    # A delta flips the bits of whatever it is given, and changes nothing else.
    to = make_delta(finished, tmp_path / "delta.safetensors")
    hashes = {"the base's digest", "the base's UNet", "the erased UNet"}
    assert hashes <= failed(to, capsys, *base)


def test_another_run(finished: Path, model_folder: Path, tmp_path: Path, capsys: Any) -> None:
    other = erase(model_folder, tmp_path / "dog", "--seed", "3", concept="dog")
    to = export(finished, tmp_path / "it.safetensors", "single-file")
    found = failed(to, capsys, "--run", str(other))
    assert {"metadata", "as the run gives"} <= found


def test_what_apply_and_undo_made(
    finished: Path, model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    """Of one delta the run's mask tells; of two no single run does; undone, nothing is left."""
    first = make_delta(finished, tmp_path / "church.safetensors")
    dog = erase(model_folder, tmp_path / "dog", concept="dog")
    second = make_delta(dog, tmp_path / "dog.safetensors")
    assert apply(model_folder, tmp_path / "one", first) == 0
    assert apply(model_folder, tmp_path / "two", first, second) == 0
    assert undo(tmp_path / "one", tmp_path / "none", first) == 0
    for name in ("one", "two"):
        found = states(tmp_path / name, capsys, "--run", str(finished))
        assert {n for n, state in found.items() if state != "ok"} <= {
            "as the run gives",
            "unselected weights",
        }
        assert "FAILED" not in found.values()
    wrong = tmp_path / "one" / UNET
    altered(wrong, wrong, flipped("conv_in.bias"))
    assert "unselected weights" in failed(tmp_path / "one", capsys, "--run", str(finished))
    found = states(tmp_path / "none", capsys, "--base", str(model_folder))
    assert found["metadata"] == "skipped" and "FAILED" not in found.values()


def test_a_changed_run_is_not_compared_with_in_silence(
    finished: Path, tmp_path: Path, capsys: Any
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    to = export(run, tmp_path / "it", "unet")
    altered(run / UNET, run / UNET, flipped("conv_in.bias"))
    assert failed(to, capsys, "--run", str(run)) == {"the run's files", "as the run gives"}


def test_what_cannot_be_verified_is_bad_input(
    finished: Path,
    single: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lora = save_single(tmp_path / "lora.safetensors", {"unet.x.lora_A.weight": torch.zeros(1)})
    half = tmp_path / "half.safetensors"
    half.write_bytes((single / "erased.safetensors").read_bytes()[:5000])
    unet = export(finished, tmp_path / "unet", "unet")
    erased = str(single / "erased.safetensors")
    for words, said in (
        ([str(tmp_path / "nothing")], "no run folder"),
        ([str(finished / "mask.safetensors")], "is a mask of `expunge mask`"),
        ([str(lora)], "a LoRA"),
        ([str(half)], "it is cut off"),
        ([str(finished), "--run", str(finished)], "drop it"),
        ([str(unet), "--run", str(model_folder)], "no run folder"),
        ([str(unet), "--base", str(tmp_path / "gone")], "no such model"),
        ([erased, "--base", str(unet)], "a UNet alone"),
        ([erased, "--config", str(single / "configs")], "add --base"),
        ([erased, "--base", str(model_folder), "--config", str(model_folder)], "goes with"),
    ):
        capsys.readouterr()
        assert main(["verify", *words]) == 2, words
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1, words
        assert said in captured.err, captured.err


def test_a_run_whose_base_is_gone(model_folder: Path, tmp_path: Path, capsys: Any) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    run = erase(base, tmp_path / "run")
    to = export(run, tmp_path / "it", "unet")
    shutil.rmtree(base)
    assert main(["verify", str(to), "--run", str(run)]) == 2
    assert "--base" in capsys.readouterr().err
    flags = ("--run", str(run), "--base", str(model_folder))
    assert set(states(to, capsys, *flags).values()) == {"ok"}
    assert read_run(run).base.id == str(base)
