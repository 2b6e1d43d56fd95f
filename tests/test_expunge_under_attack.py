"""A model under attack draws what diffusers' own pipeline draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.attacked import under
from support.example_sd3 import SD3, save_sd3

from erase.models.architectures import known
from erase.models.checkpoint import load_checkpoint

PROMPTS = ["an image of a church", "a dog", "an apple"]
SEEDS = [3, 1, 4]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that names the example of another architecture."""
    monkeypatch.setattr(known, "ARCHITECTURES", [*known.ARCHITECTURES, SD3])


@pytest.fixture(scope="module")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model of it."""
    folder = tmp_path_factory.mktemp("models") / "sd3"
    save_sd3(folder)
    return folder


@pytest.fixture(params=["model_folder", "other_model_folder", "sdxl_folder", "sd3_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """A tiny model of each kind."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("guidance", [5.0, 2.5])
@pytest.mark.parametrize("steps", [1, 4])
def test_it_draws_what_diffusers_draws(folder: Path, steps: int, guidance: float) -> None:
    model = under(folder, steps, guidance)
    ours = model.decode(model.denoise(model.noise(SEEDS), model.encode(PROMPTS)))
    theirs = load_checkpoint(str(folder), device="cpu").pipeline("ddim")(
        PROMPTS,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
    )
    for own, image in zip(ours, theirs.images, strict=True):
        levels = np.asarray(own).astype(int)
        assert np.ptp(levels) > 10
        assert np.abs(levels - np.asarray(image)).max() <= 1


def test_its_timesteps_are_those_of_diffusers(folder: Path) -> None:
    pipeline = load_checkpoint(str(folder), device="cpu").pipeline("ddim")
    pipeline.scheduler.set_timesteps(4)
    model = under(folder, steps=4)
    model.denoise(model.noise(SEEDS), model.encode(PROMPTS), 1, 2)
    assert torch.equal(model.timesteps(), pipeline.scheduler.timesteps)


def test_drawing_in_parts_is_drawing_at_once(folder: Path) -> None:
    model = under(folder, steps=4)
    told, noise = model.encode(PROMPTS), model.noise(SEEDS)
    whole = model.denoise(noise, told)
    for first in range(5):
        begun = model.denoise(noise, told, 0, first)
        assert torch.equal(begun, whole) == (first == 4)
        assert torch.equal(begun, noise) == (first == 0)
        assert torch.equal(model.denoise(begun, told, first), whole)


def test_two_models_that_draw_in_turns_draw_alike(folder: Path) -> None:
    one, two = under(folder, steps=4), under(folder, steps=4)
    told, latents = one.encode(PROMPTS), one.noise(SEEDS)
    whole = one.denoise(latents, told)
    for step in range(4):
        latents = (one, two)[step % 2].denoise(latents, told, step, step + 1)
    assert torch.equal(latents, whole)


def test_many_images_are_those_drawn_alone(folder: Path) -> None:
    """What is drawn together is no more than rounding away from what is drawn by itself."""
    model, seeds = under(folder), range(16 + 2)
    told = model.encode([PROMPTS[seed % 3] for seed in seeds])
    many = model.denoise(model.noise(seeds), told)
    assert len(model.decode(many)) == len(many) == len(seeds)
    for seed in (0, 16 - 1, 16, 16 + 1):
        alone = model.denoise(model.noise([seed]), told[seed : seed + 1])
        torch.testing.assert_close(many[seed : seed + 1], alone, rtol=1e-3, atol=1e-4)
