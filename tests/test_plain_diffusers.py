"""What a user does with exports: diffusers alone opens them, and draws what the run draws.

Diffusers' `from_single_file` builds the tiny models as it does full-size ones, whole, from a
`config` folder on disk; it takes the prediction type from that folder's scheduler.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.erased_runs import EraseOnce, erase
from support.single_files import configs_of, ldm_tensors, save_single, with_ema
from support.verified_files import export

from erase.models.checkpoint import load_checkpoint

OPEN = {
    "unet": "StableDiffusionPipeline.from_pretrained("
    "sys.argv[1], unet=UNet2DConditionModel.from_pretrained('unet'))",
    "pipeline": "StableDiffusionPipeline.from_pretrained('pipeline')",
    "single-file": "StableDiffusionPipeline.from_single_file("
    "'single-file.safetensors', config=sys.argv[1], local_files_only=True)",
}
SCRIPT = """
import sys, numpy, torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
"""
DRAW = """
pipeline = {opened}
noise = torch.Generator().manual_seed(7)
image = pipeline("a church", num_inference_steps=3, generator=noise, output_type="np").images
numpy.save("{name}.npy", image)
"""
ALONE = 'assert not {"erase", "eval", "expunge", "plumbing", "prompts"} & set(sys.modules)'


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def base(request: pytest.FixtureRequest) -> Path:
    """A diffusers folder of either prediction type."""
    fixture = "model_folder" if request.param == "epsilon" else "other_model_folder"
    return request.getfixturevalue(fixture)


@pytest.fixture
def seen_run(base: Path, erase_once: EraseOnce) -> Path:
    """A run of it, which changes enough to be seen."""
    return erase_once("--lr", "1e-2", "--device", "cpu", "--dtype", "float32", model=base)


def drawn_by_diffusers(names: Sequence[str], config: Path, folder: Path) -> dict[str, np.ndarray]:
    """The images of a script that imports nothing of ours, run where the exports are."""
    steps = [DRAW.format(opened=OPEN[name], name=name) for name in names]
    script = "".join([SCRIPT, *steps, ALONE])
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [sys.executable, "-c", script, config]
    subprocess.run(words, check=True, cwd=folder, env=alone)
    return {name: np.load(folder / f"{name}.npy") for name in names}


def drawn_by_us(model: Path) -> np.ndarray:
    pipeline = load_checkpoint(str(model), device="cpu").pipeline("ddim")
    noise = torch.Generator().manual_seed(7)
    words = {"num_inference_steps": 3, "generator": noise, "output_type": "np"}
    return np.asarray(pipeline("a church", **words).images)  # pyright: ignore


def test_diffusers_alone_draws_the_runs_image(base: Path, seen_run: Path, tmp_path: Path) -> None:
    for name in OPEN:
        suffix = ".safetensors" if name == "single-file" else ""
        export(seen_run, tmp_path / f"{name}{suffix}", name)
    ours, original = drawn_by_us(seen_run), drawn_by_us(base)
    assert np.abs(ours - original).max() > 1e-3
    for name, image in drawn_by_diffusers(tuple(OPEN), base, tmp_path).items():
        np.testing.assert_array_equal(image, ours, err_msg=name)


def test_a_single_file_of_a_single_file(model_folder: Path, tmp_path: Path) -> None:
    """The base's own file, with an EMA that is left out."""
    configs = configs_of(model_folder, tmp_path / "configs")
    file = save_single(tmp_path / "base.safetensors", with_ema(ldm_tensors(model_folder)))
    where = ("--config", str(configs), "--lr", "1e-2", "--device", "cpu", "--dtype", "float32")
    run = erase(file, tmp_path / "run", *where)
    export(run, tmp_path / "single-file.safetensors", "single-file")
    images = drawn_by_diffusers(["single-file"], model_folder, tmp_path)
    np.testing.assert_array_equal(images["single-file"], drawn_by_us(run))
