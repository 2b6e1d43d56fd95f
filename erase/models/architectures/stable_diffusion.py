"""Stable Diffusion 1.x, 2.x and XL: a UNet that attends to the prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.scheduler_config import other_kind
from erase.models.architectures.architecture import Architecture, Config, Inputs, Parts
from erase.models.architectures.families import SD1, SD2, unet_architecture
from erase.models.architectures.families import SDXL as SDXL_FILE
from erase.models.architectures.unet_fit import misfits, misfits_xl
from erase.models.part_config import first, sample_size

_TOKENS = 77
_ZEROS = "force_zeros_for_empty_prompt"
"""Whether zeros stand for the empty prompt that guidance leads away from (most SDXL)."""


def encode(parts: Parts, prompts: Sequence[str]) -> Conditioning:
    """The last layer of the text encoder; long prompts are cut at its number of tokens."""
    return Conditioning(_run(parts, "", prompts)[0].float().cpu())


def encode_xl(parts: Parts, prompts: Sequence[str]) -> Conditioning:
    """Of both text encoders; images are told to be uncropped and of the model's own size."""
    first, second = _run(parts, "", prompts), _run(parts, "_2", prompts)
    # SDXL was trained on the last layer but one of both.
    states = [each.hidden_states[-2].float().cpu() for each in (first, second)]
    width, height = SDXL.native_size(parts["unet"].config, parts["vae"].config)
    time_ids = torch.tensor([[height, width, 0, 0, height, width]]).float()
    return Conditioning(
        embeddings=torch.cat(states, dim=-1),
        pooled=second[0].float().cpu(),
        time_ids=time_ids.repeat(len(prompts), 1),
    )


def encode_nothing_xl(parts: Parts) -> Conditioning:
    """The empty prompt or, if the model's index says so, zeros."""
    empty = encode_xl(parts, ("",))
    if not parts[_ZEROS] or empty.pooled is None:
        return empty
    zeros = torch.zeros_like
    return replace(empty, embeddings=zeros(empty.embeddings), pooled=zeros(empty.pooled))


def _run(parts: Parts, number: str, prompts: Sequence[str]) -> Any:
    tokenizer, text_encoder = parts[f"tokenizer{number}"], parts[f"text_encoder{number}"]
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    # SDXL's pipeline does not ask its encoders for it.
    masked = (
        getattr(text_encoder.config, "use_attention_mask", False) and "tokenizer_2" not in parts
    )
    return text_encoder(
        tokens.input_ids.to(text_encoder.device),
        attention_mask=tokens.attention_mask.to(text_encoder.device) if masked else None,
        output_hidden_states=True,
    )


def predict(
    unet: Any, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning
) -> Tensor:
    """The UNet's output eps_theta(x_t | c), or v."""
    told = conditioning.to(unet.dtype)
    return unet(
        noisy_latents.to(unet.dtype),
        timesteps,
        told.embeddings,
        added_cond_kwargs=told.added,
        return_dict=False,
    )[0]


def example(config: Config) -> Inputs:
    """One image's latents, a timestep and a prompt, all zeros."""
    latents = torch.zeros(1, config["in_channels"], *sample_size(config))
    width = config.get("encoder_hid_dim") or first(config["cross_attention_dim"])
    embeddings = torch.zeros(1, _TOKENS, width)
    timesteps = torch.zeros(1, dtype=torch.long)
    if config.get("addition_embed_type") != "text_time":
        return latents, timesteps, Conditioning(embeddings)
    ids = 6 * config["addition_time_embed_dim"]
    pooled = torch.zeros(1, config["projection_class_embeddings_input_dim"] - ids)
    return latents, timesteps, Conditioning(embeddings, pooled, torch.zeros(1, 6))


def latent_size(config: Config) -> tuple[int, int]:
    """As the config has it; but before diffusers 0.9, fewer than 64 were written by mistake."""
    size = sample_size(config)
    old = re.match(r"0\.[0-8](\D|$)", str(config.get("_diffusers_version")))
    return (64, 64) if old and isinstance(config["sample_size"], int) and size[0] < 64 else size


def pipeline(parts: Parts, sampler: str) -> Any:
    """With no safety checker, which would blank images."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        StableDiffusionPipeline,
    )

    return StableDiffusionPipeline(
        **_sampled(parts, sampler),
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )


def pipeline_xl(parts: Parts, sampler: str) -> Any:
    """With no watermarker, which would mark images where its package happens to be installed."""
    from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
        StableDiffusionXLPipeline,
    )

    pipeline = StableDiffusionXLPipeline(**_sampled(parts, sampler), add_watermarker=False)
    # What it does to decode in float16 by a method that it calls deprecated, in the words of that.
    pipeline.upcast_vae = lambda: pipeline.vae.to(dtype=torch.float32)
    return pipeline


def _sampled(parts: Parts, sampler: str) -> dict[str, Any]:
    from erase.models.sampler import build_sampler

    return {**parts, "scheduler": build_sampler(sampler, parts["scheduler"].config)}


def _refiner(index: Mapping[str, Any]) -> str | None:
    encoder = index.get("text_encoder")
    whole = isinstance(encoder, list) and any(encoder)
    return None if whole else "an SDXL refiner, which finishes another's images"


STABLE_DIFFUSION = Architecture(
    name="sd",
    title="Stable Diffusion 1.x, 2.x",
    pipelines=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    kin=r"\w*StableDiffusion(?!3|XL)\w*",
    denoiser="unet",
    classes={
        "unet": "diffusers.models.unets.unet_2d_condition:UNet2DConditionModel",
        "vae": "diffusers.models.autoencoders.autoencoder_kl:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModel",
        "tokenizer": "transformers:CLIPTokenizer",
        "scheduler": "diffusers.schedulers:SchedulerMixin",
    },
    encode=encode,
    predict=predict,
    schedule=NoiseSchedule.of,
    pipeline=pipeline,
    example=example,
    misfits=misfits,
    groups={
        "full": lambda name: True,
        "xattn": lambda name: ".attn2." in name,
        "kv": lambda name: ".attn2.to_k." in name or ".attn2.to_v." in name,
        "noxattn": lambda name: ".attn2." not in name,
        "noxattn-layers": lambda name: ".attn2." not in name and "norm" not in name,
        "selfattn": lambda name: ".attn1." in name,
        "transformers": lambda name: ".attentions." in name,
    },
    refuse_scheduler=other_kind,
    latent_size=latent_size,
    modelspec=unet_architecture,
    single_files=(SD1, SD2),
)
SDXL = replace(
    STABLE_DIFFUSION,
    name="sdxl",
    title="XL",
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    kin=r"\w*StableDiffusionXL\w*",
    misfits=misfits_xl,
    classes={
        **STABLE_DIFFUSION.classes,
        "text_encoder_2": "transformers:CLIPTextModelWithProjection",
        "tokenizer_2": "transformers:CLIPTokenizer",
    },
    encode=encode_xl,
    encode_nothing=encode_nothing_xl,
    pipeline=pipeline_xl,
    index_settings={_ZEROS: True},
    refuse=_refiner,
    latent_size=sample_size,
    single_files=(SDXL_FILE,),
)
