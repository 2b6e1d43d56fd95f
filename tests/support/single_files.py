"""Writes the tiny models of a diffusers folder as single files, with maps of the tests' own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from erase.models.denoiser_files import denoiser_config, denoiser_weights
from erase.models.model_source import ModelSource
from erase.run_folder.folder import write_values
from erase.saliency.selection import top_k_mask

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET = "model.diffusion_model."
# The UNet of tiny_models.py, written down by hand: a plain and an attending block, one layer each.
_UNET_MODULES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
# tiny_sdxl.py's: three blocks, of which the first attends to nothing.
_XL_MODULES = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "down_blocks.0.resnets.0": "input_blocks.1.0",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0",
    "down_blocks.1.attentions.0": "input_blocks.3.1",
    "down_blocks.1.downsamplers.0.conv": "input_blocks.4.0.op",
    "down_blocks.2.resnets.0": "input_blocks.5.0",
    "down_blocks.2.attentions.0": "input_blocks.5.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0",
    "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0",
    "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0",
    "up_blocks.1.attentions.0": "output_blocks.2.1",
    "up_blocks.1.resnets.1": "output_blocks.3.0",
    "up_blocks.1.attentions.1": "output_blocks.3.1",
    "up_blocks.1.upsamplers.0.conv": "output_blocks.3.2.conv",
    "up_blocks.2.resnets.0": "output_blocks.4.0",
    "up_blocks.2.resnets.1": "output_blocks.5.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def ldm_name(name: str, *, xl: bool = False) -> str:
    """The LDM name, without prefix, of one of the tiny UNet's weights."""
    modules = _XL_MODULES if xl else _UNET_MODULES
    module = max((m for m in modules if name.startswith(f"{m}.")), key=len)
    rest = name.removeprefix(f"{module}.")
    if ".resnets." in module:
        part, kind = rest.rsplit(".", 1)
        rest = f"{_RESNET[part]}.{kind}"
    return f"{modules[module]}.{rest}"


def _vae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of two blocks each way: LDM counts those of the decoder from the other end."""
    found = {}
    for name, tensor in weights.items():
        key = re.sub(r"decoder\.up_blocks\.(\d)", lambda m: f"decoder.up.{1 - int(m[1])}", name)
        for old, new in (
            ("down_blocks", "down"),
            (".resnets.", ".block."),
            ("mid_block.block.0", "mid.block_1"),
            ("mid_block.block.1", "mid.block_2"),
            ("mid_block.attentions.0", "mid.attn_1"),
            ("conv_shortcut", "nin_shortcut"),
            ("samplers.0", "sample"),
            ("conv_norm_out", "norm_out"),
            ("group_norm", "norm"),
            ("to_out.0", "proj_out"),
            ("to_", ""),
        ):
            key = key.replace(old, new)
        if ".attn_1." in key and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        found[f"first_stage_model.{key}"] = tensor
    return found


def _text(weights: Mapping[str, Tensor], home: str) -> dict[str, Tensor]:
    prefix = f"{home}.transformer.text_model."
    found = {prefix + name.removeprefix("text_model."): t for name, t in weights.items()}
    return {**found, f"{prefix}embeddings.position_ids": torch.arange(24)[None]}


def _open_clip(
    weights: Mapping[str, Tensor], home: str, layers: tuple[int, ...]
) -> dict[str, Tensor]:
    """As many blocks as `layers`, each like the layer of that number."""
    bare = {name.removeprefix("text_model."): t for name, t in weights.items()}
    found = {
        "token_embedding.weight": bare["embeddings.token_embedding.weight"],
        "positional_embedding": bare["embeddings.position_embedding.weight"],
        "ln_final.weight": bare["final_layer_norm.weight"],
        "ln_final.bias": bare["final_layer_norm.bias"],
        "text_projection": bare.get("text_projection.weight", torch.randn(16, 16)).T,
        "logit_scale": torch.tensor(4.6),
    }
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    names |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "attn.out_proj": "self_attn.out_proj"}
    for number, layer in enumerate(f"encoder.layers.{index}" for index in layers):
        block = f"transformer.resblocks.{number}"
        for kind in ("weight", "bias"):
            for new, old in names.items():
                found[f"{block}.{new}.{kind}"] = bare[f"{layer}.{old}.{kind}"].clone()
            parts = [bare[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            found[f"{block}.attn.in_proj_{kind}"] = torch.cat(parts)
    return {f"{home}.model.{name}": tensor for name, tensor in found.items()}


def ldm_tensors(folder: Path, *, second: bool = False) -> dict[str, Tensor]:
    """All tensors of a tiny diffusers folder in the LDM layout, of SD 1 or, if `second`, SD 2."""
    unet = load_file(folder / "unet" / WEIGHTS)
    text = load_file(folder / "text_encoder" / "model.safetensors")
    found = {UNET + ldm_name(name): tensor for name, tensor in unet.items()}
    found |= _vae(load_file(folder / "vae" / WEIGHTS))
    # OpenCLIP has a layer after the last one of diffusers.
    home = "cond_stage_model"
    found |= _open_clip(text, home, (0, 0)) if second else _text(text, home)
    schedule = {"betas": torch.linspace(0.00085, 0.012, 1000, dtype=torch.float64)}
    return {name: t.contiguous() for name, t in (found | schedule).items()}


def xl_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a tiny SDXL folder under the names of sd_xl_base_1.0.safetensors."""
    first, second = (
        load_file(folder / part / "model.safetensors")
        for part in ("text_encoder", "text_encoder_2")
    )
    unet = load_file(folder / "unet" / WEIGHTS)
    found = {UNET + ldm_name(name, xl=True): tensor for name, tensor in unet.items()}
    found |= _vae(load_file(folder / "vae" / WEIGHTS))
    found |= _text(first, "conditioner.embedders.0")
    found |= _open_clip(second, "conditioner.embedders.1", (0, 1, 2))
    return {name: t.contiguous() for name, t in found.items()}


def with_ema(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same with what LDM's EMA of the UNet adds: dots left out, and two counters."""
    unet = {name: tensor for name, tensor in tensors.items() if name.startswith(UNET)}
    ema = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): tensor * 1.01
        for name, tensor in unet.items()
    }
    counters = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(470)}
    return {**tensors, **ema, **counters}


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In float16, all but what is no model: schedules and counters."""
    whole = ("betas", "model_ema.decay", "model_ema.num_updates")
    kept = (*whole, "cond_stage_model.transformer.text_model.embeddings.position_ids")
    return {n: t if n in kept else t.half() for n, t in tensors.items()}


def save_single(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Path:
    """Write a `.safetensors`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), path, metadata={"format": "pt", **metadata})
    return path


def second_folder(folder: Path, to: Path) -> Path:
    """The same model with the text encoder of an SD 2, which uses the exact GELU."""
    shutil.copytree(folder, to)
    config = json.loads((to / "text_encoder" / "config.json").read_text())
    torch.manual_seed(5)
    text = CLIPTextModel(CLIPTextConfig(**config | {"hidden_act": "gelu"}))
    text.save_pretrained(to / "text_encoder")
    return to


def configs_of(folder: Path, to: Path) -> Path:
    """A `--config` folder: the small files of a model's parts, no weights and no judges."""
    for file in sorted(folder.glob("*/*")):
        if file.suffix in (".json", ".txt"):
            (to / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / file.relative_to(folder))
    return to


def save_run(source: ModelSource, run: Path, *, density: float = 0.3) -> Path:
    """A finished run of any model: its UNet altered where a random mask is 1; no training."""
    original = {name: tensor.float() for name, tensor in denoiser_weights(source).items()}
    generator = torch.Generator().manual_seed(3)
    noise = {name: torch.rand(t.shape, generator=generator) for name, t in original.items()}
    mask = top_k_mask(noise, density, {"density": str(density), "base": source.digest})
    erased = {
        name: torch.where(mask.bits(name), tensor + 0.1 * noise[name], tensor)
        for name, tensor in original.items()
    }
    told = {
        "expunge.concept": "church",
        "modelspec.title": f"{Path(source.id).name} without church",
    }
    (run / "unet").mkdir(parents=True)
    (run / "unet" / "config.json").write_text(json.dumps(denoiser_config(source)))
    save_file(erased, run / "unet" / WEIGHTS, metadata={"format": "pt", **told})
    mask.save(run / "mask.safetensors")
    record = {"command": "erase", "concepts": ["church"], "finished": "2026-01-01"}
    write_values(run, {**record, "base": source.record()})
    return run


def require_equal_xl(first: Any, second: Any) -> None:
    """Every weight of two bundles or pipelines."""
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        one, other = (getattr(model, part).state_dict() for model in (first, second))
        assert one.keys() == other.keys() and one
        assert all(torch.equal(one[name], other[name]) for name in one), part


def draw_xl(pipeline: Any) -> Any:
    """One small image in two steps."""
    seed = torch.Generator().manual_seed(0)
    words = {"num_inference_steps": 2, "output_type": "np", "height": 16, "width": 16}
    return pipeline(["a church"], generator=seed, **words).images
