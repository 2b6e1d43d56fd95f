"""Configs of the models that work is timed on: what is Stable Diffusion's, and a tiny one."""

from typing import Any, Literal

Size = Literal["tiny", "tiny-xl", "miniature", "medium", "sd15", "sdxl"]
XL: tuple[Size, ...] = ("tiny-xl", "sdxl")
ROWS: dict[Size, int] = {"miniature": 16, "medium": 1, "sd15": 1}
"""Images of either set in a step on a CPU."""
TOKENS: dict[Size, int] = {
    "tiny": 24,
    "tiny-xl": 24,
    "miniature": 24,
    "medium": 77,
    "sd15": 77,
    "sdxl": 77,
}
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
_TINY = _SD15 | {
    "sample_size": 8,
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
}
_TINY_XL = _SDXL | {
    "sample_size": 8,
    "block_out_channels": (32, 32, 64),
    "layers_per_block": 1,
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (2, 2, 4),
    "cross_attention_dim": 32 + 32,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 32,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "tiny": _TINY,
    "tiny-xl": _TINY_XL,
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
# It overflows in half precision: drawing decodes in float32.
_VAE_XL = _VAE | {"scaling_factor": 0.13025, "force_upcast": True}
_NARROW = {"block_out_channels": (32,) * 4, "layers_per_block": 1}
VAES: dict[str, dict[str, Any]] = {
    "tiny": _VAE | _NARROW,
    "tiny-xl": _VAE_XL | _NARROW,
    "medium": _VAE,
    "sd15": _VAE,
    "sdxl": _VAE_XL,
}
_TEXT: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    # The miniature's tokenizer stands in for theirs.
    "bos_token_id": 1026,
    "eos_token_id": 1027,
}
_TINY_TEXT = _TEXT | {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 1028,
    "max_position_embeddings": TOKENS["tiny"],
}
TEXTS: dict[str, dict[str, Any]] = {
    "tiny": _TINY_TEXT,
    "tiny-xl": _TINY_TEXT,
    "medium": _TEXT,
    "sd15": _TEXT,
    "sdxl": _TEXT,
}
SECOND_TEXTS: dict[str, dict[str, Any]] = {
    "tiny-xl": _TINY_TEXT | {"projection_dim": 32},
    "sdxl": _TEXT
    | {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    },
}
"""Of the second text encoder."""
