"""A tiny but real SDXL: two text encoders, pooled embeddings, time ids; built offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from support.tiny_models import (
    OBJECTS,
    STYLES,
    TOKENS,
    make_scheduler,
    make_tokenizer,
    make_vae,
    save_judge,
)

POOLED = 24
"""Features of the second encoder's pooled embedding, E."""
_TEXT = {
    "vocab_size": len(make_tokenizer()),
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "max_position_embeddings": TOKENS,
    "bos_token_id": 188,
    "eos_token_id": 189,
}


def make_sdxl_unet() -> UNet2DConditionModel:
    """The blocks of SDXL: no attention at first, then one and two transformer layers."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=16 + 24,
        attention_head_dim=(2, 4, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + POOLED,
        norm_num_groups=4,
    )


def make_sdxl_vae() -> Any:
    """SDXL's, in small: it has a scale of its own, and overflows in half precision."""
    vae = make_vae()
    vae.register_to_config(scaling_factor=0.13025, force_upcast=True)
    return vae


def save_sdxl(
    folder: Path,
    prediction_type: str = "epsilon",
    seed: int = 0,
    *,
    zero_unconditional: bool = True,
) -> None:
    """Write a random SDXL pipeline folder with two judges.

    `zero_unconditional` is `force_zeros_for_empty_prompt`, as SDXL's own model_index.json has it.
    """
    torch.manual_seed(seed)
    first = CLIPTextConfig(hidden_size=16, num_hidden_layers=2, projection_dim=16, **_TEXT)
    second = CLIPTextConfig(
        hidden_size=24, num_hidden_layers=3, projection_dim=POOLED, hidden_act="gelu", **_TEXT
    )
    second_tokenizer = make_tokenizer()
    second_tokenizer.pad_token = "!"
    StableDiffusionXLPipeline(
        vae=make_sdxl_vae(),
        text_encoder=CLIPTextModel(first),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=make_tokenizer(),
        tokenizer_2=second_tokenizer,
        unet=make_sdxl_unet(),
        scheduler=make_scheduler(prediction_type),
        force_zeros_for_empty_prompt=zero_unconditional,
        add_watermarker=False,
    ).save_pretrained(folder)
    save_judge(folder / "judge" / "object", OBJECTS)
    save_judge(folder / "judge" / "style", STYLES)
