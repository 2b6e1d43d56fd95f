"""`expunge verify`: every hash, every bit, every weight; and what a single wrong one does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, erase, unet
from support.files import tree
from torch import Tensor

from erase.run_folder.folder import read_run, write_run
from erase.saliency.mask import SaliencyMask, freeze_mask
from expunge.cli import main
from plumbing.whole_files import sha256_file


def verify(run: Path, capsys: Any, *flags: str) -> tuple[int, dict[str, str]]:
    """The exit code, and the state of every check by name."""
    capsys.readouterr()
    code = main(["verify", str(run), "--json", *flags])
    result = json.loads(capsys.readouterr().out)
    assert result["passed"] is (code == 0)
    return code, {check["name"]: check["state"] for check in result["checks"]}


def failures(run: Path, capsys: Any, *flags: str) -> set[str]:
    """The names of the checks that fail."""
    code, states = verify(run, capsys, *flags)
    failed = {name for name, state in states.items() if state == "FAILED"}
    assert code == (1 if failed else 0)
    return failed


def alter(run: Path, change: Callable[[dict[str, Tensor]], None], *, rehash: bool = False) -> None:
    """Alter the erased weights, and on request the hash that run.json tells of them."""
    weights = load_file(run / UNET)
    change(weights)
    save_file(weights, run / UNET, metadata={"format": "pt"})
    if rehash:
        record = read_run(run)
        weights = {**record.weights, UNET: sha256_file(run / UNET)}
        write_run(run, replace(record, weights=weights))


def flip(name: str, place: int) -> Callable[[dict[str, Tensor]], None]:
    """Flips the lowest bit of one weight."""

    def change(weights: dict[str, Tensor]) -> None:
        weights[name].reshape(-1).view(torch.int32)[place] ^= 1

    return change


def test_a_run_passes_and_is_left_as_it_was(
    finished: Path, model_folder: Path, capsys: Any
) -> None:
    before = tree(finished)
    capsys.readouterr()
    assert main(["verify", str(finished)]) == 0
    lines = capsys.readouterr().out.splitlines()
    base, erased = unet(model_folder), unet(finished)
    changed = sum(int((erased[name] != base[name]).sum()) for name in base)
    assert any(f"{changed:,} of " in line and "changed weights" in line for line in lines)
    assert all(line.startswith("     ok  ") for line in lines[:-2])
    assert lines[-1].endswith("all is as recorded")
    assert failures(finished, capsys) == set()
    assert tree(finished) == before


def test_one_flipped_bit_in_an_unselected_weight(run: Path, capsys: Any) -> None:
    """Of a trained parameter, and of one that is not in the mask at all."""
    mask = SaliencyMask.load(run / "mask.safetensors")
    name = next(n for n in mask.shapes if 0 < int(mask.bits(n).sum()) < mask.bits(n).numel())
    place = int((~mask.bits(name)).flatten().nonzero()[0])
    outside = {"unselected weights", "changed weights"}
    for change in (flip(name, place), flip("conv_in.bias", 0)):
        alter(run, change, rehash=True)
        assert failures(run, capsys) == outside
        alter(run, change, rehash=True)
        assert failures(run, capsys) == set()


def test_a_selected_weight_may_change_but_not_the_file(run: Path, capsys: Any) -> None:
    mask = SaliencyMask.load(run / "mask.safetensors")
    name = next(n for n in mask.shapes if mask.bits(n).any())
    alter(run, flip(name, int(mask.bits(name).flatten().nonzero()[0])))
    assert failures(run, capsys) == {"the run's files"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite(run: Path, capsys: Any, value: float) -> None:
    mask = SaliencyMask.load(run / "mask.safetensors")
    name = next(n for n in mask.shapes if mask.bits(n).any())
    place = int(mask.bits(name).flatten().nonzero()[0])

    def change(weights: dict[str, Tensor]) -> None:
        weights[name].reshape(-1)[place] = value

    alter(run, change, rehash=True)
    assert failures(run, capsys) == {"finite"}


def test_a_changed_mask(run: Path, capsys: Any) -> None:
    """One bit moved from a selected weight to another leaves the count, not the mask."""
    path = run / "mask.safetensors"
    mask = SaliencyMask.load(path)
    name = next(n for n in mask.shapes if 0 < int(mask.bits(n).sum()) < mask.bits(n).numel())
    bits = mask.unpacked()
    flat = bits[name].flatten()
    chosen, free = int(flat.nonzero()[0]), int((~flat).nonzero()[0])
    bits[name].view(-1)[[chosen, free]] = torch.tensor([False, True])
    freeze_mask(bits, mask.metadata).save(path)
    assert failures(run, capsys) == {"the run's files", "unselected weights", "changed weights"}
    bits[name].view(-1)[chosen] = True
    freeze_mask(bits, mask.metadata).save(path)
    assert failures(run, capsys) == {"the run's files", "mask"}
    freeze_mask(mask.unpacked(), {**mask.metadata, "density": "0.4"}).save(path)
    assert failures(run, capsys) == {"the run's files", "mask"}


def test_changed_names_shapes_and_types(run: Path, capsys: Any) -> None:
    original = tree(run)[UNET]

    def reshaped(weights: dict[str, Tensor]) -> None:
        weights["conv_in.bias"] = weights["conv_in.bias"].reshape(2, -1)

    def renamed(weights: dict[str, Tensor]) -> None:
        weights["bias"] = weights.pop("conv_in.bias")

    def retyped(weights: dict[str, Tensor]) -> None:
        weights["conv_in.bias"] = weights["conv_in.bias"].double()

    for change in (reshaped, renamed, retyped):
        (run / UNET).write_bytes(original)
        alter(run, change, rehash=True)
        assert "names and shapes" in failures(run, capsys)


@pytest.mark.parametrize(
    ("name", "failed"),
    [
        (UNET, {"unselected weights", "changed weights"}),
        ("text_encoder/model.safetensors", set()),
        ("scheduler/scheduler_config.json", set()),
    ],
)
def test_a_base_that_was_changed(
    run: Path, model_folder: Path, tmp_path: Path, capsys: Any, name: str, failed: set[str]
) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    assert failures(run, capsys, "--base", str(base)) == set()
    if name.endswith(".json"):
        (base / name).write_text((base / name).read_text() + "\n")
    else:
        weights = load_file(base / name)
        flip(min(weights), 0)(weights)
        save_file(weights, base / name, metadata={"format": "pt"})
    expected = failed | {"the base's files", "the base's digest"}
    assert failures(run, capsys, "--base", str(base)) == expected


def test_a_base_that_is_gone_is_bad_input(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    run = erase(base, tmp_path / "run")
    shutil.rmtree(base)
    capsys.readouterr()
    assert main(["verify", str(run)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "--base" in captured.err
    assert main(["verify", str(run), "--base", str(model_folder)]) == 0


def test_inputs_are_checked_while_they_are_there(
    model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    """The user's prompts and mask: changed they fail, gone they are passed over."""
    prompts, mask = tmp_path / "keep.txt", tmp_path / "mask.safetensors"
    prompts.write_text("a dog\nan apple\n")
    first = erase(model_folder, tmp_path / "first", "--retain-prompts", str(prompts))
    shutil.copyfile(first / "mask.safetensors", mask)
    run = erase(
        model_folder,
        tmp_path / "run",
        "--retain-prompts",
        str(prompts),
        "--mask",
        str(mask),
    )
    assert failures(run, capsys) == set()
    prompts.write_text("a dog\n")
    mask.write_bytes(mask.read_bytes() + b" ")
    assert failures(run, capsys) == {"input prompts", "input mask"}
    prompts.unlink()
    mask.unlink()
    code, states = verify(run, capsys)
    assert code == 0
    assert (states["input prompts"], states["input mask"]) == ("skipped", "skipped")


def test_half_precision_bases_are_compared_after_widening(
    model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    half = shutil.copytree(model_folder, tmp_path / "half")
    weights = {name: tensor.half() for name, tensor in unet(half).items()}
    save_file(weights, half / UNET, metadata={"format": "pt"})
    run = erase(half, tmp_path / "run")
    assert failures(run, capsys) == set()
    alter(run, flip("conv_in.bias", 0), rehash=True)
    assert failures(run, capsys) == {"unselected weights", "changed weights"}


def test_what_is_no_finished_run_is_bad_input(
    run: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(model_folder / "tokenizer")]) == 2
    assert "no run folder" in capsys.readouterr().err
    record = read_run(run)
    write_run(run, replace(record, finished=None))
    assert main(["verify", str(run)]) == 2
    assert "not finished" in capsys.readouterr().err
    write_run(run, replace(record, command="mask"))
    assert main(["verify", str(run)]) == 2
    assert "a mask alone" in capsys.readouterr().err
