"""Models of several sizes with random weights, and sets of random images, to time work on."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import ForgetSet, RetainSet
from erase.models.architectures.stable_diffusion import STABLE_DIFFUSION
from erase.models.bundle import Bundle
from erase.models.model_source import MINIATURE
from erase.saliency.mask import SaliencyMask, freeze_mask

Size = Literal["miniature", "medium", "sd15"]
ROWS: dict[Size, int] = {"miniature": 16, "medium": 1, "sd15": 1}
"""Images of either set in a step."""
TOKENS: dict[Size, int] = {"miniature": 24, "medium": 77, "sd15": 77}
"""Length of a text embedding."""
_SD15: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
_SDXL: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": _SD15,
    # All blocks of SD 1.5, a bit more than half as wide: what the official structure fits for.
    "medium": _SD15 | {"block_out_channels": (160, 320, 640, 640)},
    "sdxl": _SDXL,
}
_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}


def make_unet(size: Size, dtype: torch.dtype) -> UNet2DConditionModel:
    """The miniature's own UNet, or one of random weights, made in its type at once."""
    if size == "miniature":
        return UNet2DConditionModel.from_pretrained(MINIATURE / "unet", torch_dtype=dtype)
    return _filled(UNet2DConditionModel, CONFIGS[size], dtype)


def make_encoders(size: Size) -> tuple[Any, Any]:
    """Autoencoder and text encoder of the same size, float32."""
    if size == "miniature":
        vae = AutoencoderKL.from_pretrained(MINIATURE / "vae", torch_dtype=torch.float32)
        text = CLIPTextModel.from_pretrained(MINIATURE / "text_encoder", torch_dtype=torch.float32)
        return vae, text
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    return _filled(AutoencoderKL, _VAE, torch.float32), CLIPTextModel(text)


def _filled(kind: Any, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    with torch.device("meta"):
        model = kind(**config)
    model = model.to(dtype).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        parameter.data.normal_(0, 0.02, generator=generator)
        if "norm" in name and name.endswith("weight"):
            parameter.data.add_(1)
    return model


def make_bundle(unet: UNet2DConditionModel) -> Bundle:
    """What a method needs of a model when everything is encoded: UNet, scale, schedule."""
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
    )
    rest: Any = None
    vae: Any = SimpleNamespace(config={"scaling_factor": 0.18215})
    parts = {"unet": unet, "vae": vae, "scheduler": scheduler}
    return Bundle(STABLE_DIFFUSION, parts, rest)


def make_sets(unet: UNet2DConditionModel, images: int, tokens: int) -> tuple[ForgetSet, RetainSet]:
    """Random latents and embeddings: `images` of one forget prompt, as many of ten others."""
    generator = torch.Generator().manual_seed(0)
    size, width = unet.config["sample_size"], unet.config["cross_attention_dim"]

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def images_of(prompts: int) -> dict[str, Any]:
        return {
            "posterior": noise(images, 2, unet.config["in_channels"], size, size),
            "prompt_index": torch.arange(images) % prompts,
            "prompts": tuple(map(str, range(prompts))),
            "conditioning": Conditioning(noise(prompts, tokens, width)),
        }

    forget = ForgetSet(
        **images_of(1),
        relabel_prompts=tuple("abcde"),
        relabel_conditioning=Conditioning(noise(5, tokens, width)),
        relabel_choices=(torch.arange(5),),
    )
    return forget, RetainSet(**images_of(10))


def random_bits(unet: UNet2DConditionModel, density: float) -> SaliencyMask:
    """A mask at random, about `density` of every parameter."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        freeze_mask({name: torch.rand(p.shape, generator=generator) < density}, {})
        for name, p in unet.named_parameters()
    ]
    packed = {name: tensor for part in parts for name, tensor in part.packed.items()}
    return SaliencyMask(packed, {n: s for part in parts for n, s in part.shapes.items()}, {})
