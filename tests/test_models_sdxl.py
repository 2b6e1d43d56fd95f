"""SDXL through the same code: two text encoders, mask, training, drawing, export, evaluation."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors.torch import load_file
from support.drawn_rows import DRAWING, ROWS
from support.erased_runs import EraseOnce, bits_equal, erase, unet
from support.salun_steps import train
from support.single_files import UNET, ldm_name, save_single, xl_tensors
from support.tiny_sdxl import save_sdxl

from erase.models.checkpoint import load_checkpoint
from erase.saliency.mask import SaliencyMask
from eval.generation.generate import generate
from eval.generation.image_log import image_path
from expunge.cli import main
from plumbing.errors import UsageError

DRAW = """
import sys, numpy, torch
from diffusers import StableDiffusionXLPipeline
pipeline = StableDiffusionXLPipeline.from_pretrained(sys.argv[1], add_watermarker=False)
noise = torch.Generator().manual_seed(7)
image = pipeline("a church", num_inference_steps=3, generator=noise, output_type="np").images
numpy.save(sys.argv[2], image)
"""


@pytest.fixture
def xl_run(sdxl_folder: Path, erase_once: EraseOnce) -> Path:
    """A finished run of it."""
    return erase_once("--density", "0.3", model=sdxl_folder)


def test_only_the_mask_s_weights_change(sdxl_folder: Path, xl_run: Path) -> None:
    before, after = unet(sdxl_folder), unet(xl_run)
    mask = SaliencyMask.load(xl_run / "mask.safetensors")
    changed = {name: before[name] != after[name] for name in after}
    assert not any((changed[name] & ~mask.bits(name)).any() for name in mask.shapes)
    assert any(places.any() for places in changed.values())
    assert not any(changed[name].any() for name in changed.keys() - mask.shapes.keys())
    assert main(["verify", str(xl_run)]) == 0


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("zero", [True, False])
def test_the_losses_fall(tmp_path: Path, prediction: str, zero: bool) -> None:
    save_sdxl(tmp_path / "model", prediction, zero_unconditional=zero)
    sd = load_checkpoint(str(tmp_path / "model"), device="cpu")
    changes = {"steps": 20, "lr": 1e-2, "batch_size": 4, "retain_target": "teacher"}
    rows, _ = train(sd, tmp_path, 0.5, **changes)
    first, last = rows[:5], rows[-5:]
    # Taught on both sets, it starts as its teacher: nothing is left to learn but the relabelling.
    assert sum(row.losses["forget"] for row in last) < sum(row.losses["forget"] for row in first)


def test_it_draws_what_plain_diffusers_draws(sdxl_folder: Path, tmp_path: Path) -> None:
    pipeline = load_checkpoint(str(sdxl_folder), device="cpu").pipeline("ddim")
    generate(pipeline, ROWS[:3], tmp_path, DRAWING, model_hash="m", batch_size=3)
    for row in ROWS[:3]:
        plain = pipeline(
            row.prompt,
            num_inference_steps=2,
            guidance_scale=3.0,
            generator=torch.Generator().manual_seed(row.seed),
        ).images[0]
        with Image.open(image_path(tmp_path, row.id)) as image:
            ours = np.asarray(image).astype(int)
        assert np.abs(ours - np.asarray(plain).astype(int)).max() <= 1


def test_the_exported_pipeline_is_plain_diffusers_own(xl_run: Path, tmp_path: Path) -> None:
    folder, image = tmp_path / "pipeline", tmp_path / "image.npy"
    assert main(["export", str(xl_run), "--to", str(folder)]) == 0
    assert bits_equal(unet(folder), unet(xl_run))
    subprocess.run([sys.executable, "-c", DRAW, str(folder), str(image)], check=True)
    sd = load_checkpoint(str(xl_run), device="cpu")
    pipeline = sd.pipeline("ddim")
    assert isinstance(pipeline, StableDiffusionXLPipeline)
    noise = torch.Generator().manual_seed(7)
    ours = pipeline("a church", num_inference_steps=3, generator=noise, output_type="np").images
    np.testing.assert_allclose(np.load(image), ours, atol=1e-5)


def test_a_single_file_is_erased_given_back_and_verified(sdxl_folder: Path, tmp_path: Path) -> None:
    tensors = xl_tensors(sdxl_folder)
    file = save_single(
        tmp_path / "base.safetensors", tensors, **{"modelspec.prediction_type": "epsilon"}
    )
    run = erase(file, tmp_path / "run", "--config", str(sdxl_folder), "--density", "0.3")
    to = tmp_path / "erased.safetensors"
    assert main(["export", str(run), "--format", "single-file", "--to", str(to)]) == 0
    exported, mask = load_file(to), SaliencyMask.load(run / "mask.safetensors")
    assert exported.keys() == tensors.keys()
    changed = {key for key in tensors if not torch.equal(exported[key], tensors[key])}
    keys = {UNET + ldm_name(name, xl=True): name for name in unet(run)}
    assert changed and changed <= keys.keys()
    for key in changed:
        assert not ((exported[key] != tensors[key]) & ~mask.bits(keys[key])).any()
    assert main(["verify", str(to), "--run", str(run)]) == 0


def test_an_evaluation_compares_it_with_its_original(xl_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(xl_run, tmp_path / "run")
    assert main(["evaluate", "concept", str(run), "--protocol", "demo", "--steps", "1"]) == 0
    result = json.loads((run / "eval" / "concept" / "evaluation.json").read_text())
    assert result["original"]["ua"]["n"] == result["erased"]["ua"]["n"] > 0


def test_what_stands_for_no_prompt_is_part_of_the_model(sdxl_folder: Path, tmp_path: Path) -> None:
    """It decides what is drawn, so the same weights under another rule are another model."""
    save_sdxl(tmp_path / "other", zero_unconditional=False)
    first, second = (
        load_checkpoint(str(f), device="cpu") for f in (sdxl_folder, tmp_path / "other")
    )
    assert first.force_zeros_for_empty_prompt and not second.force_zeros_for_empty_prompt
    assert first.source.digest != second.source.digest


def test_refiners_and_shifted_latents_are_refused_by_name(tmp_path: Path) -> None:
    save_sdxl(tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    told = json.loads(index.read_text())
    refiner = {"_class_name": "StableDiffusionXLImg2ImgPipeline", "text_encoder": [None, None]}
    index.write_text(json.dumps(told | refiner))
    with pytest.raises(UsageError, match="an SDXL refiner"):
        load_checkpoint(str(tmp_path / "model"))
    index.write_text(json.dumps(told))
    config = tmp_path / "model" / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"latents_mean": [0.1] * 4}))
    with pytest.raises(UsageError, match="its autoencoder's latents_mean is not supported"):
        load_checkpoint(str(tmp_path / "model"))
