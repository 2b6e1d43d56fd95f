"""Models of several sizes with random weights, and sets of random images, to time work on."""

from __future__ import annotations

import erase.models.pil_processors  # noqa: F401

# isort: split
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from benchmarks.configs import CONFIGS, SECOND_TEXTS, TEXTS, TOKENS, VAES, XL, Size
from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import ForgetSet, RetainSet
from erase.models.architectures.stable_diffusion import SDXL, STABLE_DIFFUSION
from erase.models.bundle import Bundle
from erase.models.model_source import MINIATURE, ModelSource
from erase.saliency.mask import SaliencyMask, freeze_mask

CPU = torch.device("cpu")


def make_unet(
    size: Size, dtype: torch.dtype, device: torch.device = CPU, pixels: int | None = None
) -> UNet2DConditionModel:
    """The miniature's own UNet, or one of random weights, made in its type at once.

    It is told of the images' side in `pixels`, on which only its config depends.
    """
    if size == "miniature":
        unet = UNet2DConditionModel.from_pretrained(MINIATURE / "unet", torch_dtype=dtype)
        unet = unet.to(device)
    else:
        unet = _filled(UNet2DConditionModel, CONFIGS[size], dtype, device)
    if pixels:
        # The miniature's autoencoder shrinks by 4, those of the others by 8.
        unet.register_to_config(sample_size=pixels // (4 if size == "miniature" else 8))
    return unet.eval()


def make_encoders(
    size: Size, dtype: torch.dtype = torch.float32, device: torch.device = CPU
) -> tuple[Any, Any]:
    """Autoencoder and (first) text encoder of the same size."""
    if size == "miniature":
        vae = AutoencoderKL.from_pretrained(MINIATURE / "vae", torch_dtype=dtype)
        text = CLIPTextModel.from_pretrained(MINIATURE / "text_encoder", torch_dtype=dtype)
        return vae.to(device), text.to(device)
    vae = _filled(AutoencoderKL, VAES[size], dtype, device)
    return vae.eval(), _text(CLIPTextModel, TEXTS[size], dtype, device)


def make_model(size: Size, dtype: torch.dtype, device: torch.device) -> Bundle:
    """All parts of a model, which can be drawn and attacked too; not of the miniature."""
    architecture = SDXL if size in XL else STABLE_DIFFUSION
    source = ModelSource(f"random {size}", None, {}, MINIATURE, architecture)
    vae, text_encoder = make_encoders(size, dtype, device)
    tokenizer = CLIPTokenizer.from_pretrained(
        MINIATURE / "tokenizer", model_max_length=TOKENS[size]
    )
    parts: dict[str, Any] = {
        "unet": make_unet(size, dtype, device),
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": tokenizer,
        "scheduler": _scheduler(),
    }
    if size in XL:
        second = _text(CLIPTextModelWithProjection, SECOND_TEXTS[size], dtype, device)
        parts |= {"text_encoder_2": second, "tokenizer_2": tokenizer}
        parts |= dict(architecture.index_settings)
    return Bundle(architecture, parts, source)


def _filled(kind: Any, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    with torch.device("meta"):
        model = kind(**config)
    # Not diffusers' own `to`, which warns of parts to be kept in float32 where there are none.
    model = nn.Module.to(model, dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter.data.add_(1)
    return model


def _text(kind: Any, config: Mapping[str, Any], dtype: torch.dtype, device: torch.device) -> Any:
    with torch.device(device):
        return kind(CLIPTextConfig(**config)).to(dtype).eval()


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
    )


def make_bundle(unet: UNet2DConditionModel) -> Bundle:
    """What a method needs of a model when everything is encoded: UNet, scale, schedule."""
    rest: Any = None
    vae: Any = SimpleNamespace(config={"scaling_factor": 0.18215})
    parts = {"unet": unet, "vae": vae, "scheduler": _scheduler()}
    return Bundle(STABLE_DIFFUSION, parts, rest)


def make_sets(unet: UNet2DConditionModel, images: int, tokens: int) -> tuple[ForgetSet, RetainSet]:
    """Random latents and embeddings: `images` of one forget prompt, as many of ten others."""
    generator = torch.Generator().manual_seed(0)
    size = unet.config["sample_size"]

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def images_of(prompts: int) -> dict[str, Any]:
        return {
            "posterior": noise(images, 2, unet.config["in_channels"], size, size),
            "prompt_index": torch.arange(images) % prompts,
            "prompts": tuple(map(str, range(prompts))),
            "conditioning": make_conditioning(unet, prompts, tokens, generator),
        }

    forget = ForgetSet(
        **images_of(1),
        relabel_prompts=tuple("abcde"),
        relabel_conditioning=make_conditioning(unet, 5, tokens, generator),
        relabel_choices=(torch.arange(5),),
    )
    return forget, RetainSet(**images_of(10))


def make_conditioning(
    unet: UNet2DConditionModel, prompts: int, tokens: int, generator: torch.Generator
) -> Conditioning:
    """Random embeddings of so many prompts, and what else a UNet is told, on the CPU."""
    config = unet.config
    embeddings = torch.randn(prompts, tokens, config["cross_attention_dim"], generator=generator)
    if config["addition_embed_type"] != "text_time":
        return Conditioning(embeddings)
    width = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    side = 8.0 * config["sample_size"]
    ids = torch.tensor([[side, side, 0, 0, side, side]]).repeat(prompts, 1)
    return Conditioning(embeddings, torch.randn(prompts, width, generator=generator), ids)


def random_bits(parameters: Mapping[str, nn.Parameter], density: float) -> SaliencyMask:
    """A mask at random, about `density` of every parameter."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        freeze_mask({name: torch.rand(p.shape, generator=generator) < density}, {})
        for name, p in parameters.items()
    ]
    packed = {name: tensor for part in parts for name, tensor in part.packed.items()}
    return SaliencyMask(packed, {n: s for part in parts for n, s in part.shapes.items()}, {})


def make_pictures(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Files of noise, of (width, height) pixels."""
    rng, (width, height) = np.random.default_rng(0), size
    files = [folder / f"noise-{i}.png" for i in range(count)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    return files
