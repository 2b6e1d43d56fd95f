"""Names of UNet weights: our LDM layout and diffusers' own reading of it agree, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from support.erased_runs import unet
from support.single_files import ldm_name
from support.unet_configs import SD1, SD2, SDXL

from erase.models.single_file.part_keys import vae_key
from erase.models.single_file.unet_keys import UNET_PREFIX, ema_key, unet_keys
from plumbing.errors import UsageError

REFINER = SDXL | {
    "block_out_channels": (384, 768, 1536, 1536),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "transformer_layers_per_block": 4,
    "attention_head_dim": (6, 12, 24, 24),
    "cross_attention_dim": 1280,
    "projection_class_embeddings_input_dim": 2560,
}
SMALL = SD1 | {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 16,
    "norm_num_groups": 4,
}
SMALL_OTHERS = [
    SMALL | {"layers_per_block": 1, "attention_head_dim": 4},
    SMALL | {"layers_per_block": 3, "transformer_layers_per_block": 2},
    SMALL
    | {
        "block_out_channels": (8, 8, 8),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    },
    SMALL
    | {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",)}
    | {"up_block_types": ("CrossAttnUpBlock2D",)},
]


def build(config: dict[str, Any]) -> UNet2DConditionModel:
    """Shapes without weights: a full-size UNet costs nothing."""
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


@pytest.mark.parametrize(
    ("config", "count"),
    [(SD1, 686), (SD2, 686), (SDXL, 1680), (REFINER, None), *((c, None) for c in SMALL_OTHERS)],
)
def test_diffusers_reads_our_names_as_it_calls_them(
    config: dict[str, Any], count: int | None
) -> None:
    """Each weight is told by its own tensor object: renamed there and read back, it is the same."""
    unet = build(config)
    weights = unet.state_dict()
    ours = unet_keys(unet.config, weights)
    assert list(ours) == list(weights)
    assert len(set(ours.values())) == len(weights) and count in (None, len(ours))
    file = {UNET_PREFIX + ours[name]: weight for name, weight in weights.items()}
    theirs = convert_ldm_unet_checkpoint(dict(file), dict(unet.config))
    assert theirs.keys() == weights.keys()
    assert all(theirs[name] is weights[name] for name in weights)
    back = {id(weight): name for name, weight in theirs.items()}
    assert {key: back[id(weight)] for key, weight in file.items()} == {
        UNET_PREFIX + key: name for name, key in ours.items()
    }


def test_names_are_those_of_stable_diffusion_s_own_files() -> None:
    """A few of v1-5-pruned-emaonly.safetensors and sd_xl_base_1.0.safetensors, as published."""
    small = unet_keys(build(SD1).config, build(SD1).state_dict())
    large = unet_keys(build(SDXL).config, build(SDXL).state_dict())
    attention = "transformer_blocks.0.attn2.to_k.weight"
    assert small["conv_in.weight"] == "input_blocks.0.0.weight"
    assert small[f"down_blocks.0.attentions.0.{attention}"] == f"input_blocks.1.1.{attention}"
    assert small["down_blocks.2.downsamplers.0.conv.bias"] == "input_blocks.9.0.op.bias"
    assert small["up_blocks.0.upsamplers.0.conv.weight"] == "output_blocks.2.1.conv.weight"
    assert small["up_blocks.1.upsamplers.0.conv.weight"] == "output_blocks.5.2.conv.weight"
    assert small["up_blocks.3.resnets.2.conv_shortcut.weight"] == (
        "output_blocks.11.0.skip_connection.weight"
    )
    assert small["mid_block.resnets.1.time_emb_proj.weight"] == "middle_block.2.emb_layers.1.weight"
    assert large["add_embedding.linear_2.bias"] == "label_emb.0.2.bias"
    assert large["up_blocks.0.upsamplers.0.conv.weight"] == "output_blocks.2.2.conv.weight"
    assert ema_key("input_blocks.0.0.weight") == "model_ema.diffusion_modelinput_blocks00weight"


def test_ema_names_are_one_to_one() -> None:
    for config in (SD1, SD2, SDXL):
        keys = unet_keys(build(config).config, build(config).state_dict()).values()
        assert len({ema_key(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"down_block_types": ("AttnDownBlock2D", "CrossAttnDownBlock2D")}, "AttnDownBlock2D"),
        ({"mid_block_type": "UNetMidBlock2D"}, "UNetMidBlock2D"),
        ({"time_cond_proj_dim": 8}, r"time_embedding\.cond_proj\.weight"),
        ({"class_embed_type": "timestep"}, r"class_embedding\.linear_1\.weight"),
        ({"num_class_embeds": 5}, r"class_embedding\.weight"),
    ],
)
def test_what_the_layout_has_no_place_for_is_refused(change: dict[str, Any], told: str) -> None:
    unet = build(SMALL | change)
    with pytest.raises(UsageError, match=told) as error:
        unet_keys(unet.config, unet.state_dict())
    assert "\n" not in str(error.value)


def test_the_names_of_the_shipped_autoencoder_are_ldm_s() -> None:
    """Four blocks, counted backwards in LDM's decoder; of older diffusers' attentions too."""
    assert vae_key("decoder.up_blocks.0.resnets.2.conv1.weight", 4) == (
        "decoder.up.3.block.2.conv1.weight"
    )
    assert vae_key("encoder.down_blocks.1.resnets.0.conv_shortcut.bias", 4) == (
        "encoder.down.1.block.0.nin_shortcut.bias"
    )
    assert vae_key("decoder.up_blocks.2.upsamplers.0.conv.bias", 4) == (
        "decoder.up.1.upsample.conv.bias"
    )
    for name in ("to_out.0", "proj_attn"):
        key = vae_key(f"encoder.mid_block.attentions.0.{name}.weight", 4)
        assert key == "encoder.mid.attn_1.proj_out.weight"
    with pytest.raises(UsageError, match="has no name"):
        vae_key("encoder.mid_block.attentions.1.to_q.weight", 4)


def test_the_tests_own_names_are_the_package_s(model_folder: Path) -> None:
    config = json.loads((model_folder / "unet" / "config.json").read_text())
    names = unet(model_folder)
    assert unet_keys(config, names) == {name: ldm_name(name) for name in names}
