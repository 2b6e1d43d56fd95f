"""`expunge export --format lora`: what the file holds, how near it comes, what it leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, EraseOnce, apply, export_lora, unet
from support.files import tree

from expunge.cli import main

NAMINGS = ("diffusers", "kohya")


@pytest.fixture
def full_run(erase_once: EraseOnce) -> Path:
    """A finished run that changed weights of every kind."""
    return erase_once("--train-method", "full")


def told(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def difference(base: Path, run: Path) -> dict[str, torch.Tensor]:
    before, after = unet(base), unet(run)
    return {name: after[name] - before[name] for name in before}


def missed(changes: dict[str, torch.Tensor], applied: dict[str, torch.Tensor]) -> float:
    """||change - what was applied|| / ||change|| over all parameters, in float64."""
    total = sum(float(c.double().square().sum()) for c in changes.values())
    wrong = sum(
        float((c.double() - applied[n].double()).square().sum()) for n, c in changes.items()
    )
    return (wrong / total) ** 0.5


def is_layer(change: torch.Tensor) -> bool:
    """Whether it is the change, if any, of a layer that a LoRA can alter."""
    return change.ndim in (2, 4) and bool(change.any())


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("strength", ["1", "0.5"])
def test_full_rank_is_the_whole_change_of_every_layer(
    full_run: Path, model_folder: Path, tmp_path: Path, naming: str, strength: str
) -> None:
    flags = ("--energy", "1", "--dtype", "fp32", "--naming", naming, "--strength", strength)
    path, result = export_lora(full_run, tmp_path / "lora.safetensors", *flags)
    assert result["worst"]["residual"] < 1e-5
    assert apply(model_folder / "unet", tmp_path / "unet", path) == 0
    base = unet(model_folder)
    applied = load_file(tmp_path / "unet" / Path(UNET).name)
    for name, change in difference(model_folder, full_run).items():
        expected = float(strength) * change if is_layer(change) else torch.zeros_like(change)
        # The sum with the base is rounded to float32, which is not the LoRA's doing.
        torch.testing.assert_close(applied[name], base[name] + expected, rtol=3e-7, atol=1e-8)


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize(
    "flags", [("--rank", "2"), ("--energy", "0.8"), ("--rank", "3", "--dtype", "fp32"), ()]
)
def test_the_residual_is_that_of_the_file(
    full_run: Path, model_folder: Path, tmp_path: Path, naming: str, flags: tuple[str, ...]
) -> None:
    path, result = export_lora(full_run, tmp_path / "a.safetensors", "--naming", naming, *flags)
    tensors, changes = load_file(path), difference(model_folder, full_run)
    applied = {name: torch.zeros_like(change) for name, change in changes.items()}
    for name in filter(lambda n: is_layer(changes[n]), changes):
        module = name.removesuffix(".weight")
        if naming == "kohya":
            stem = "lora_unet_" + module.replace(".", "_")
            up, down = (tensors[f"{stem}.lora_{part}.weight"] for part in ("up", "down"))
            scale = float(tensors[f"{stem}.alpha"]) / len(down)
        else:
            up, down = (tensors[f"unet.{module}.lora_{part}.weight"] for part in "BA")
            scale = 1.0
        assert up.dtype == down.dtype == (torch.float32 if "fp32" in flags else torch.float16)
        product = up.double().flatten(1) @ down.double().flatten(1)
        applied[name] = (scale * product).view(changes[name].shape)
    assert result["residual"] == pytest.approx(missed(changes, applied), rel=1e-4)
    assert float(told(path)["expunge.residual"]) == pytest.approx(result["residual"], rel=1e-4)
    worst = result["worst"]
    alone = {n: missed({n: c}, applied) for n, c in changes.items() if is_layer(c)}
    assert worst["residual"] == pytest.approx(max(alone.values()), rel=1e-4)
    assert worst["residual"] == pytest.approx(alone[worst["name"]], rel=1e-4)


def test_an_energy_is_met_in_every_layer(
    full_run: Path, model_folder: Path, tmp_path: Path
) -> None:
    flags = ("--energy", "0.7", "--dtype", "fp32")
    path, result = export_lora(full_run, tmp_path / "a.safetensors", *flags)
    tensors, ranks = load_file(path), set()
    for name, change in difference(model_folder, full_run).items():
        if is_layer(change):
            down = tensors[f"unet.{name.removesuffix('.weight')}.lora_A.weight"]
            energies = torch.linalg.svdvals(change.double().flatten(1)).square()
            kept = energies.cumsum(0) / energies.sum()
            rank = len(down)
            assert kept[rank - 1] >= 0.7 - 1e-6 and (rank == 1 or kept[rank - 2] < 0.7 + 1e-6)
            ranks.add(rank)
    assert len(ranks) > 1 and result["largest_rank"] == max(ranks)


def test_what_a_lora_cannot_carry_is_counted_and_named(
    full_run: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, result = export_lora(full_run, tmp_path / "a.safetensors", "--rank", "2")
    changes = difference(model_folder, full_run)
    left = {name: c for name, c in changes.items() if not is_layer(c) and c.any()}
    whole = sum(float(c.double().square().sum()) for c in changes.values())
    assert result["left_out"]["names"] == sorted(left) != []
    assert result["left_out"]["weights"] == sum(int(c.count_nonzero()) for c in left.values())
    share = sum(float(c.double().square().sum()) for c in left.values()) / whole
    assert result["left_out"]["energy"] == pytest.approx(share)
    assert result["layers"] == sum(map(is_layer, changes.values()))
    flags = ["--format", "lora", "--rank", "2", "--to", str(tmp_path / "b.safetensors")]
    capsys.readouterr()
    assert main(["export", str(full_run), *flags]) == 0
    table = capsys.readouterr().out
    assert f"{result['left_out']['weights']:,} weights of biases and norms" in table
    assert f"{100 * result['residual']:.2f} % of the change is missed" in table


@pytest.mark.parametrize("naming", NAMINGS)
def test_the_same_bytes_twice_and_only_that_file(
    full_run: Path, tmp_path: Path, naming: str
) -> None:
    for name in ("a", "b"):
        export_lora(full_run, tmp_path / name / "x.safetensors", "--naming", naming)
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert first == second and set(first) == {"x.safetensors"}
    _, again = export_lora(full_run, tmp_path / "a" / "x.safetensors", "--naming", naming)
    assert not again["written"] and again["sha256"]
    assert str(full_run.parent).encode() not in first["x.safetensors"]


def test_a_lora_tells_what_it_is(full_run: Path, tmp_path: Path) -> None:
    path, result = export_lora(full_run, tmp_path / "a.safetensors", "--naming", "kohya")
    header = told(path)
    assert header["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert (header["ss_network_module"], header["ss_v2"]) == ("networks.lora", "False")
    assert header["ss_network_dim"] == str(result["largest_rank"])
    assert (header["expunge.concept"], header["expunge.rank"]) == ("church", "16")
    assert (
        json.loads((full_run / "run.json").read_text())["base"]["digest"]
        == (header["expunge.base"])
    )
    assert result["bytes"] == path.stat().st_size and result["dtype"] == "float16"


Flags = tuple[str, ...]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--format", "lora", "--rank", "2", "--energy", "0.5"), "exclude each other"),
        (("--format", "lora", "--rank", "0"), "--rank must be at least 1"),
        (("--format", "lora", "--energy", "1.5"), "--energy must be above 0 and at most 1"),
        (("--format", "lora", "--strength", "0"), "no linear or convolution layer differs"),
        (("--rank", "2"), "--rank is for --format lora alone"),
        (("--format", "unet", "--naming", "kohya"), "--naming is for --format lora alone"),
        (("--format", "delta", "--check", "no"), "--check is for --format lora alone"),
        (("--format", "lora", "--ema", "overwrite"), "--ema is for --format single-file alone"),
    ],
)
def test_refusals(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: Flags, words: str
) -> None:
    assert main(["export", str(full_run), "--to", str(tmp_path / "a.safetensors"), *flags]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert words in error and error.startswith("expunge: error: ")
    assert list(tmp_path.iterdir()) == []


def test_a_place_or_a_type_that_will_not_do_is_refused(
    full_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags: list[Any] = ["--format", "lora", "--to"]
    assert main(["export", str(full_run), *flags, str(tmp_path / "a.pt")]) == 2
    assert "written as .safetensors" in capsys.readouterr().err
    run = shutil.copytree(full_run, tmp_path / "run")
    weights = unet(run)
    weights["conv_out.weight"][0, 0] = 1e30
    save_file(weights, run / UNET)
    assert main(["export", str(run), *flags, str(tmp_path / "a.safetensors")]) == 2
    assert "conv_out.weight overflows in float16" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
