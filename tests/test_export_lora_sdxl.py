"""LoRAs of SDXL: kohya's names are the original modules', and diffusers draws our images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors import safe_open
from support.erased_runs import EraseOnce, apply, export_lora

from erase.export.lora.names import ALPHA, DOWN, UP, prefixes


@pytest.fixture
def xl_run(sdxl_folder: Path, erase_once: EraseOnce) -> Path:
    """A finished run of it, enough to see."""
    flags = ("--train-method", "full", "--lr", "1e-2", "--density", "1")
    return erase_once(*flags, model=sdxl_folder)


def draw(model: Path, lora: Path | None = None) -> np.ndarray:
    """An image in [0, 1]."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, add_watermarker=False)
    if lora:
        pipeline.load_lora_weights(str(lora))
    noise = torch.Generator().manual_seed(7)
    drawn = pipeline("a church", num_inference_steps=3, generator=noise, output_type="np")
    return np.asarray(drawn.images)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
@pytest.mark.parametrize("flags", [("--rank", "6"), ("--energy", "0.8")])
def test_diffusers_draws_our_images(
    sdxl_folder: Path, xl_run: Path, tmp_path: Path, naming: str, flags: tuple[str, ...]
) -> None:
    words = ("--naming", naming, "--dtype", "fp32", *flags)
    path, _ = export_lora(xl_run, tmp_path / "lora.safetensors", *words)
    assert apply(sdxl_folder, tmp_path / "model", path) == 0
    ours = draw(tmp_path / "model")
    assert np.abs(draw(sdxl_folder, path) - ours).max() < 1e-4
    assert np.abs(draw(sdxl_folder) - ours).max() > 2e-2
    with safe_open(path, "pt") as file:
        told = file.metadata()
        names = list(file.keys())
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    if naming == "kohya":
        assert told["ss_base_model_version"] == "sdxl_base_v1-0"
        assert any(name.startswith("lora_unet_input_blocks_") for name in names)
        assert not any("down_blocks" in name for name in names)


def make_sdxl_unet() -> UNet2DConditionModel:
    """A tiny UNet with SDXL's blocks and added conditions."""
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(4, 8, 8),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 3),
        cross_attention_dim=8,
        attention_head_dim=4,
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=32,
    )


def test_kohya_names_of_sdxl_are_the_original_modules() -> None:
    model = make_sdxl_unet()
    layers = [name for name, weight in model.state_dict().items() if weight.ndim in (2, 4)]
    found = prefixes("kohya", layers, model.config)
    assert len(set(found.values())) == len(layers)
    expected = {
        "conv_in": "input_blocks_0_0",
        "time_embedding.linear_1": "time_embed_0",
        "add_embedding.linear_2": "label_emb_0_2",
        "down_blocks.0.downsamplers.0.conv": "input_blocks_3_0_op",
        "down_blocks.1.resnets.0.conv1": "input_blocks_4_0_in_layers_2",
        "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_out.0": (
            "input_blocks_4_1_transformer_blocks_1_attn2_to_out_0"
        ),
        "mid_block.attentions.0.proj_in": "middle_block_1_proj_in",
        "up_blocks.0.attentions.2.transformer_blocks.0.ff.net.0.proj": (
            "output_blocks_2_1_transformer_blocks_0_ff_net_0_proj"
        ),
        "conv_out": "out_2",
    }
    for module, name in expected.items():
        assert found[f"{module}.weight"] == f"lora_unet_{name}"


def test_diffusers_maps_kohyas_sdxl_names_back_to_the_layers_they_are_of(tmp_path: Path) -> None:
    model = make_sdxl_unet()
    weights = {n: w for n, w in model.state_dict().items() if w.ndim in (2, 4)}
    tensors = {}
    for index, (name, prefix) in enumerate(prefixes("kohya", weights, model.config).items()):
        kernel, ones = weights[name].shape[2:], (1,) * (weights[name].ndim - 2)
        tensors[prefix + DOWN["kohya"]] = torch.zeros(1, weights[name].shape[1], *kernel)
        tensors[prefix + UP["kohya"]] = torch.full((len(weights[name]), 1, *ones), float(index))
        tensors[prefix + ALPHA] = torch.tensor(1.0)
    state, alphas = StableDiffusionXLPipeline.lora_state_dict(tensors, unet_config=model.config)
    model.load_lora_adapter(dict(state), prefix="unet", network_alphas=alphas)
    ours = dict(enumerate(weights))
    adapters = {n: p for n, p in model.named_parameters() if ".lora_B." in n}
    assert len(adapters) == len(weights)
    for name, parameter in adapters.items():
        assert ours[int(parameter.flatten()[0])] == f"{name.split('.lora_B.')[0]}.weight"
