"""A base of several types, as its norms in float32 and the rest in half: each keeps its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, apply, bits_equal, export_lora, make_delta, undo, unet
from support.single_files import configs_of, ldm_tensors, save_run, save_single
from support.verified_files import export, states
from torch import Tensor

from erase.export.delta import read_delta
from erase.models.locate import locate


def mixed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Norms in float32, biases in bfloat16, the rest in float16."""
    kinds = {"norm": torch.float32, ".bias": torch.bfloat16, "": torch.float16}
    return {
        name: tensor.to(next(kinds[word] for word in kinds if word in name))
        for name, tensor in tensors.items()
    }


@pytest.fixture(scope="module")
def base(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a UNet of three types; not to be altered."""
    folder = shutil.copytree(model_folder, tmp_path_factory.mktemp("mixed") / "model")
    save_file(mixed(load_file(folder / UNET)), folder / UNET, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def erased(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of it; not to be altered."""
    return save_run(locate(str(base)), tmp_path_factory.mktemp("runs") / "run")


def test_a_delta_goes_there_and_back_in_every_weight_and_type(
    base: Path, erased: Path, tmp_path: Path
) -> None:
    delta = make_delta(erased, tmp_path / "delta.safetensors")
    assert apply(base, tmp_path / "made", delta) == 0
    assert bits_equal(unet(tmp_path / "made"), unet(erased))
    assert undo(tmp_path / "made", tmp_path / "back", delta) == 0
    assert bits_equal(unet(tmp_path / "back"), unet(base))


def test_a_delta_of_one_type_is_what_earlier_versions_read(
    finished: Path, erased: Path, tmp_path: Path
) -> None:
    one = read_delta(make_delta(finished, tmp_path / "one.safetensors")).metadata
    assert one["expunge.version"] == "1" and not any(key.startswith("base_dtype:") for key in one)
    several = read_delta(make_delta(erased, tmp_path / "several.safetensors"))
    assert several.metadata["expunge.version"] == "2"
    assert several.base_dtypes == "bfloat16, float16, float32"


def weights_pass(target: Path, run: Path, capsys: Any) -> bool:
    """Whether `verify` finds every weight as it must be; the run's own record is made by hand."""
    found = states(target, capsys, "--run", str(run))
    checks = {"names and shapes", "unselected weights", "changed weights", "as the run gives"}
    return {found[name] for name in checks} == {"ok"}


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_of_a_mixed_base(
    base: Path, erased: Path, strength: float, tmp_path: Path
) -> None:
    """At 0 the base, at 1 the run, between them the mean; all in float32, which holds each."""
    made = export(erased, tmp_path / "unet", "unet", "--strength", str(strength))
    before, after = ({n: t.float() for n, t in unet(x).items()} for x in (base, erased))
    expected = {n: before[n] + strength * (after[n] - before[n]) for n in before}
    found = load_file(made / Path(UNET).name)
    if strength in (0, 1):
        assert bits_equal(found, expected)
    assert all(torch.allclose(found[n], expected[n], atol=1e-6) for n in expected)


def test_a_single_file_keeps_each_type(
    base: Path, model_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    tensors = ldm_tensors(model_folder)
    kinds = {name: t.dtype for name, t in mixed(tensors).items() if t.dtype != torch.float64}
    own = save_single(tmp_path / "b.safetensors", {n: tensors[n].to(kinds[n]) for n in kinds})
    configs = configs_of(model_folder, tmp_path / "configs")
    run = save_run(locate(str(own), config=configs), tmp_path / "run")
    made = export(run, tmp_path / "made.safetensors", "single-file")
    assert {name: t.dtype for name, t in load_file(made).items()} == kinds
    assert weights_pass(made, run, capsys)


def test_verify_and_lora_of_a_mixed_base(
    base: Path, erased: Path, tmp_path: Path, capsys: Any
) -> None:
    delta = make_delta(erased, tmp_path / "delta.safetensors")
    for target in (export(erased, tmp_path / "unet", "unet"), delta):
        assert weights_pass(target, erased, capsys)
    file, told = export_lora(erased, tmp_path / "lora.safetensors", "--rank", "64")
    assert told["residual"] < 0.5
    assert apply(base, tmp_path / "with-lora", file) == 0
    assert {t.dtype for t in unet(tmp_path / "with-lora").values()} == {torch.float32}
