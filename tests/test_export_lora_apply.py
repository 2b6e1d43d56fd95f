"""`expunge apply` of LoRAs: they add up on their base; what does not belong is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.erased_runs import (
    UNET,
    EraseOnce,
    apply,
    bits_equal,
    export_lora,
    make_delta,
    undo,
    unet,
)
from support.files import tree
from support.single_files import configs_of, ldm_tensors, save_single

from expunge.cli import main


@pytest.fixture(scope="module")
def loras(erase_once: EraseOnce, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LoRAs of two runs on one base, one in either naming."""
    folder = tmp_path_factory.mktemp("loras")
    found = {}
    for concept, naming in (("church", "diffusers"), ("dog", "kohya")):
        run = erase_once(concept=concept)
        place = folder / f"{concept}.safetensors"
        found[concept], _ = export_lora(run, place, "--naming", naming, "--rank", "3")
    return found


@pytest.fixture(scope="module")
def delta(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The church run's delta."""
    place = tmp_path_factory.mktemp("deltas") / "church.safetensors"
    return make_delta(finished, place)


def test_two_loras_add_up_in_any_order(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = loras["church"], loras["dog"]
    for name, files in {"a": [one], "b": [two], "both": [one, two], "turned": [two, one]}.items():
        capsys.readouterr()
        assert apply(model_folder, tmp_path / name, *files, flags=("--json",)) == 0
    told = json.loads(capsys.readouterr().out)
    base, a, b = (unet(folder) for folder in (model_folder, tmp_path / "a", tmp_path / "b"))
    both = unet(tmp_path / "both")
    for name in base:
        torch.testing.assert_close(both[name], a[name] + b[name] - base[name], rtol=1e-6, atol=1e-7)
    assert tree(tmp_path / "both") == tree(tmp_path / "turned")
    shared = sum(base[n].numel() for n in base if (a[n] != base[n]).any() & (b[n] != base[n]).any())
    assert told["conflicts"] == shared > 0 and sorted(told["erased"]) == ["church", "dog"]
    card = (tmp_path / "both" / "README.md").read_text()
    assert "these LoRAs, added up" in card and "church" in card and "dog" in card


def test_strength_scales_what_a_lora_adds(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path
) -> None:
    found = {}
    for strength in ("0", "0.5", "1"):
        flags = ("--strength", strength)
        assert apply(model_folder, tmp_path / strength, loras["dog"], flags=flags) == 0
        found[strength] = unet(tmp_path / strength)
    assert bits_equal(found["0"], unet(model_folder))
    for name, base in unet(model_folder).items():
        middle = (base.double() + found["1"][name].double()) / 2
        torch.testing.assert_close(found["0.5"][name].double(), middle, rtol=1e-6, atol=1e-7)


def test_a_half_precision_base_is_written_in_float32(
    half_folder: Path, erase_once: EraseOnce, tmp_path: Path
) -> None:
    run = erase_once(model=half_folder)
    path, _ = export_lora(run, tmp_path / "lora.safetensors", "--energy", "1", "--dtype", "fp32")
    assert apply(half_folder, tmp_path / "model", path) == 0
    erased = unet(run)
    for name, weight in unet(tmp_path / "model").items():
        assert weight.dtype == torch.float32
        if weight.ndim in (2, 4):
            torch.testing.assert_close(weight, erased[name].float(), rtol=1e-6, atol=1e-7)


def test_loras_and_deltas_do_not_mix(
    loras: dict[str, Path],
    delta: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert apply(model_folder, tmp_path / "out", delta, loras["dog"]) == 2
    assert "files of one kind" in capsys.readouterr().err
    assert undo(model_folder, tmp_path / "out", loras["dog"]) == 2
    error = capsys.readouterr().err
    assert "a LoRA, which is not exact" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_base_is_refused(
    loras: dict[str, Path],
    other_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in loras.values():
        assert apply(other_model_folder, tmp_path / "out", path) == 2
        assert "not the base of" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_lora_that_is_not_ours_is_refused_with_a_way_to_use_it(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file(load_file(loras["dog"]), foreign)
    assert apply(model_folder, tmp_path / "out", foreign) == 2
    error = capsys.readouterr().err
    assert "load_lora_weights" in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {foreign.name}


@pytest.mark.parametrize("damage", ["missing", "stranger", "shape"])
def test_a_damaged_lora_is_refused(
    loras: dict[str, Path],
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    with safe_open(loras["church"], "pt") as file:
        metadata = file.metadata()
    tensors = load_file(loras["church"])
    name = min(n for n in tensors if ".lora_A." in n)
    if damage == "missing":
        del tensors[name]
    elif damage == "stranger":
        tensors["unet.nowhere.lora_A.weight"] = tensors[name].clone()
    else:
        tensors[name] = tensors[name][:, :-1].contiguous()
    save_file(tensors, tmp_path / "lora.safetensors", metadata=metadata)
    assert apply(model_folder, tmp_path / "out", tmp_path / "lora.safetensors") == 2
    assert "fit" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_loras_made_is_not_held_to_a_mask(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(model_folder, tmp_path / "model", loras["church"]) == 0
    assert main(["verify", str(tmp_path / "model"), "--base", str(model_folder)]) == 2
    assert "made of LoRAs" in capsys.readouterr().err


def test_a_single_file_base_takes_a_lora_too(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path
) -> None:
    base = save_single(tmp_path / "base.safetensors", ldm_tensors(model_folder))
    configs = configs_of(model_folder, tmp_path / "configs")
    flags = ("--config", str(configs))
    assert apply(base, tmp_path / "unet", loras["dog"], flags=flags) == 0
    assert apply(model_folder, tmp_path / "model", loras["dog"]) == 0
    alone = load_file(tmp_path / "unet" / Path(UNET).name)
    assert bits_equal(alone, unet(tmp_path / "model"))


def test_a_unet_alone_takes_a_lora_too(
    loras: dict[str, Path], model_folder: Path, tmp_path: Path
) -> None:
    assert apply(model_folder, tmp_path / "model", loras["church"]) == 0
    assert apply(model_folder / "unet", tmp_path / "unet", loras["church"]) == 0
    alone = load_file(tmp_path / "unet" / Path(UNET).name)
    assert bits_equal(alone, unet(tmp_path / "model"))
