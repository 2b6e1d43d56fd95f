"""Arithmetic on a device: what a GPU is told, and weights that are held in less for a while."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.devices import settle_cuda
from erase.models.prediction import autocast, drawing_arithmetic, held_in

CPU = torch.device("cpu")


@pytest.fixture
def torch_as_it_was() -> Iterator[None]:
    """The settings of this process, put back."""
    cudnn, product = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, product.allow_tf32
    yield
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, product.allow_tf32 = before


@pytest.mark.usefixtures("torch_as_it_was")
def test_a_gpu_is_told_not_to_round_and_to_add_up_in_one_order() -> None:
    """The settings that torch.compile reads, which raise if newer ones were set beside them."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    settle_cuda()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    assert torch.get_float32_matmul_precision() == "highest"


def test_weights_held_in_less_are_the_same_bits_afterwards(tiny: Bundle) -> None:
    """Also where what they were held for fails; a GPU's sets are drawn so."""
    modules = [tiny.denoiser, *tiny.encoders]
    before = [p.clone() for module in modules for p in module.parameters()]
    places = [p.data_ptr() for module in modules for p in module.parameters()]

    def interrupted() -> None:
        with held_in(modules, torch.bfloat16):
            assert {p.dtype for module in modules for p in module.parameters()} == {torch.bfloat16}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    after = [p for module in modules for p in module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert [p.data_ptr() for p in after] == places


def drawn(sd: Bundle, prompt: str) -> torch.Tensor:
    """Pixels of one image."""
    seed = torch.Generator().manual_seed(0)
    told = {"num_inference_steps": 4, "guidance_scale": 5.0, "output_type": "pt"}
    return sd.pipeline("ddim")(prompt, generator=seed, **told).images.float()


def test_they_draw_what_autocast_draws(tiny: Bundle) -> None:
    """In bfloat16 the two are nearer to each other than an eighth of what a prompt changes."""
    modules = [tiny.denoiser, *tiny.encoders]
    with held_in(modules, torch.bfloat16):
        held = drawn(tiny, "a church")
    with autocast(CPU, torch.bfloat16):
        cast, other = drawn(tiny, "a church"), drawn(tiny, "an apple in neon style")
    assert (held - cast).abs().mean() < (cast - other).abs().mean() / 8


def test_a_cpu_draws_by_autocast_as_ever(tiny: Bundle) -> None:
    with drawing_arithmetic([tiny.denoiser], CPU, torch.bfloat16):
        assert tiny.denoiser.dtype == torch.float32
        found = drawn(tiny, "a church")
    with autocast(CPU, torch.bfloat16):
        assert torch.equal(found, drawn(tiny, "a church"))


def test_sdxl_decodes_float16_in_float32_as_diffusers_does(sdxl_folder: Path) -> None:
    """To the pixel, and without the warning that is an error here."""

    def pixels(pipeline: StableDiffusionXLPipeline) -> np.ndarray:
        pipeline.set_progress_bar_config(disable=True)
        seed = torch.Generator().manual_seed(0)
        (image,) = pipeline("a church", num_inference_steps=2, generator=seed).images
        return np.asarray(image)

    found = pixels(
        load_checkpoint(str(sdxl_folder), device="cpu", dtype="float16").pipeline("ddim")
    )
    plain = load_checkpoint(str(sdxl_folder), device="cpu", dtype="float16").pipeline("ddim")
    del plain.upcast_vae
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert np.array_equal(found, pixels(plain))
    assert any("upcast_vae" in str(warning.message) for warning in told)
