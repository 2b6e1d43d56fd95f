"""Evaluations and `expunge apply` on single files, which need a folder for their configs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from support.erased_runs import apply, bits_equal, erase, make_delta, unet
from support.files import tree
from support.single_files import configs_of, ldm_tensors, save_single
from support.verified_files import export, failed

from expunge.cli import main
from plumbing.whole_files import sha256_file


@pytest.fixture(scope="module")
def single(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of one file, a run, what it exports as one file; configs beside the judges."""
    folder = tmp_path_factory.mktemp("single")
    configs = configs_of(model_folder, folder / "configs")
    shutil.copytree(model_folder / "judge", configs / "judge")
    file = save_single(folder / "base.safetensors", ldm_tensors(model_folder))
    run = erase(file, folder / "run", "--config", str(configs), "--device", "cpu")
    export(run, folder / "erased.safetensors", "single-file")
    return folder


def evaluate(kind: str, target: Path, *words: object) -> int:
    flags = "--steps 1 --device cpu --dtype float32 --batch-size 32".split()
    return main(["evaluate", kind, str(target), *flags, *map(str, words)])


def models(folder: Path) -> tuple[Path, list[object]]:
    """The erased file, and the flags that tell of its base."""
    words = ["--baseline", folder / "base.safetensors", "--config", folder / "configs"]
    return folder / "erased.safetensors", words


def figures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


def test_an_exported_file_measures_as_its_run(single: Path, tmp_path: Path) -> None:
    """The same weights draw the same images, so every figure is the same."""
    erased, words = models(single)
    words += ["--concept", "church", "--protocol", "demo"]
    assert evaluate("concept", erased, *words, "--out", tmp_path / "file") == 0
    assert evaluate("concept", single / "run", "--protocol", "demo", "--out", tmp_path / "run") == 0
    of_file, of_run = figures(tmp_path / "file"), figures(tmp_path / "run")
    for model in ("original", "erased"):
        assert of_file[model] == of_run[model] and of_file[model]["ua"]["n"] > 0
    assert of_file["models"]["original"] == of_run["models"]["original"]
    names = [of_file["models"][model]["name"] for model in ("original", "erased")]
    assert names == ["base.safetensors", "erased.safetensors"]
    images = tree(tmp_path / "file" / "erased" / "images")
    assert images == tree(tmp_path / "run" / "erased" / "images")
    assert images != tree(tmp_path / "file" / "original" / "images")


def test_quality_and_i2p_take_single_files(
    single: Path, clip_folder: Path, prompts: Path, tmp_path: Path
) -> None:
    erased, words = models(single)
    more = ["--concept", "church", "--clip", clip_folder, "--images", "4"]
    assert evaluate("quality", erased, *words, *more, "--out", tmp_path / "quality") == 0
    more = ["--prompts", prompts, "--first", "2"]
    assert evaluate("i2p", erased, *words, *more, "--out", tmp_path / "i2p") == 0
    for kind in ("quality", "i2p"):
        told = figures(tmp_path / kind)["models"]
        assert told["original"]["sha256"] != told["erased"]["sha256"]


def test_the_config_goes_to_the_file_alone(
    single: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder beside it has its own."""
    erased, _ = models(single)
    words = ["--concept", "church", "--protocol", "demo", "--config", single / "configs"]
    words += ["--prediction-type", "epsilon"]
    out = ["--out", tmp_path / "out"]
    assert evaluate("concept", erased, *words, "--baseline", model_folder, *out) == 0
    for target, flags, said in (
        (
            model_folder,
            words,
            f"goes with a single file, which {model_folder} is not",
        ),
        (single / "run", words[-4:-2], "goes with a single"),
        (erased, words[:4], "add --config FOLDER"),
        (erased, ["--config", tmp_path, *words[:4]], f"--config {tmp_path}: lacks"),
    ):
        capsys.readouterr()
        assert evaluate("concept", target, *flags, "--out", tmp_path / "none") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error, error
    assert not (tmp_path / "none").exists()


def test_apply_makes_the_unet_of_a_single_file(
    single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file has no parts that could be copied beside it."""
    delta = make_delta(single / "run", tmp_path / "delta.safetensors")
    file, configs = single / "base.safetensors", str(single / "configs")
    before = sha256_file(file)
    assert apply(file, tmp_path / "unet", delta, flags=("--config", configs)) == 0
    written = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert bits_equal(written, unet(single / "run"))
    assert {path.name for path in (tmp_path / "unet").iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert sha256_file(file) == before
    assert not failed(tmp_path / "unet", capsys, "--run", str(single / "run"))
    capsys.readouterr()
    assert apply(file, tmp_path / "none", delta) == 2
    assert "add --config FOLDER" in capsys.readouterr().err
    assert apply(single / "configs", tmp_path / "none", delta, flags=("--config", configs)) == 2
    assert "goes with a single" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
