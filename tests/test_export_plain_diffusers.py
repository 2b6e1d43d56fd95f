"""What a user does with exports: diffusers alone opens them, and draws what the run draws.

Diffusers' `from_single_file` builds the tiny models as it does full-size ones, whole, from a
`config` folder on disk; it takes the prediction type from that folder's scheduler.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.erased_runs import EraseOnce, erase
from support.single_files import configs_of, ldm_tensors, save_single, with_ema
from support.verified_files import export

from erase.models.checkpoint import load_checkpoint

BASES = ("epsilon", "v_prediction")
KINDS = ("unet", "pipeline", "single-file")
SEEN = ("--lr", "1e-2", "--device", "cpu", "--dtype", "float32")
"""Flags of a run that changes enough to be seen."""
SCRIPT = """
import json, sys, numpy, torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

def opened(kind, place, base):
    if kind == "unet":
        unet = UNet2DConditionModel.from_pretrained(place)
        return StableDiffusionPipeline.from_pretrained(base, unet=unet)
    if kind == "pipeline":
        return StableDiffusionPipeline.from_pretrained(place)
    return StableDiffusionPipeline.from_single_file(place, config=base, local_files_only=True)

for image, job in json.loads(sys.argv[1]).items():
    noise = torch.Generator().manual_seed(7)
    words = {"num_inference_steps": 3, "generator": noise, "output_type": "np"}
    numpy.save(image, opened(*job)("a church", **words).images)
assert not {"erase", "eval", "expunge", "plumbing", "prompts"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def base_of(model_folder: Path, other_model_folder: Path) -> Callable[[str], Path]:
    """A diffusers folder by its prediction type."""
    return dict(zip(BASES, (model_folder, other_model_folder), strict=True)).__getitem__


@pytest.fixture(scope="module")
def twice_single(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a single file that has an EMA, and beside it what it exports as a single file."""
    folder = tmp_path_factory.mktemp("single")
    configs = configs_of(model_folder, folder / "configs")
    file = save_single(folder / "base.safetensors", with_ema(ldm_tensors(model_folder)))
    run = erase(file, folder / "run", "--config", str(configs), *SEEN)
    export(run, folder / "erased.safetensors", "single-file")
    return folder


@pytest.fixture(scope="module")
def drawn(
    base_of: Callable[[str], Path],
    twice_single: Path,
    erase_once: EraseOnce,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], np.ndarray]:
    """Images by name, of one script that imports nothing of ours."""
    folder = tmp_path_factory.mktemp("drawn")
    jobs = {"twice": ("single-file", twice_single / "erased.safetensors", base_of("epsilon"))}
    for name in BASES:
        run = erase_once(*SEEN, model=base_of(name))
        for kind in KINDS:
            suffix = ".safetensors" if kind == "single-file" else ""
            place = export(run, folder / f"{name}-{kind}{suffix}", kind)
            jobs[f"{name}-{kind}"] = (kind, place, base_of(name))
    told = {str(folder / f"{name}.npy"): tuple(map(str, job)) for name, job in jobs.items()}
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [sys.executable, "-c", SCRIPT, json.dumps(told)]
    subprocess.run(words, check=True, cwd=folder, env=alone)
    return lambda name: np.load(folder / f"{name}.npy")


def drawn_by_us(model: Path) -> np.ndarray:
    pipeline = load_checkpoint(str(model), device="cpu").pipeline("ddim")
    noise = torch.Generator().manual_seed(7)
    words = {"num_inference_steps": 3, "generator": noise, "output_type": "np"}
    return np.asarray(pipeline("a church", **words).images)  # pyright: ignore


@pytest.mark.parametrize("name", BASES)
def test_diffusers_alone_draws_the_runs_image(
    name: str,
    base_of: Callable[[str], Path],
    drawn: Callable[[str], np.ndarray],
    erase_once: EraseOnce,
) -> None:
    base = base_of(name)
    ours, original = drawn_by_us(erase_once(*SEEN, model=base)), drawn_by_us(base)
    assert np.abs(ours - original).max() > 1e-3
    for kind in KINDS:
        np.testing.assert_array_equal(drawn(f"{name}-{kind}"), ours, err_msg=kind)


def test_a_single_file_of_a_single_file(
    twice_single: Path, drawn: Callable[[str], np.ndarray]
) -> None:
    """The base's own file, with an EMA that is left out."""
    np.testing.assert_array_equal(drawn("twice"), drawn_by_us(twice_single / "run"))
