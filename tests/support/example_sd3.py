"""An architecture added by one file: Stable Diffusion 3 without T5, and a tiny model of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from erase.diffusion.conditioning import Conditioning
from erase.models.architectures.architecture import Architecture, Config, Inputs, Parts
from plumbing.errors import UsageError
from support.tiny_models import OBJECTS, STYLES, TOKENS, make_tokenizer, make_vae, save_judge

_TEXT_STREAM = (".add_q_proj.", ".add_k_proj.", ".add_v_proj.", ".to_add_out.", ".ff_context.")


@dataclass(frozen=True)
class FlowSchedule:
    """x_t = (1 - s) x_0 + s eps; the denoiser, told of t = 1000 s, predicts eps - x_0."""

    sigmas: Tensor
    """[T], from 1 down."""
    prediction_type: str = "flow"

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        places = torch.randint(len(self.sigmas), (count,), generator=generator)
        return 1000 * self.sigmas[places]

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        level = (timesteps / 1000).view(-1, 1, 1, 1)
        return (1 - level) * latents + level * noise

    def prediction_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return noise - latents

    def noise_weight(self, timesteps: Tensor, limit: float) -> Tensor:
        level = (timesteps / 1000).view(-1, 1, 1, 1)
        return (level / (1 - level)).square().clamp(1, limit)


class Pipeline(StableDiffusion3Pipeline):
    """Diffusers' own, whose prompts for the other encoders default to the first one's."""

    def encode_prompt(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, prompt: Any, prompt_2: Any = None, prompt_3: Any = None, **words: Any
    ) -> Any:
        return super().encode_prompt(prompt, prompt_2, prompt_3, **words)


def encode(parts: Parts, prompts: Sequence[str]) -> Conditioning:
    told = pipeline(parts, "euler").encode_prompt(
        list(prompts), device=parts["text_encoder"].device, do_classifier_free_guidance=False
    )
    return Conditioning(told[0].float().cpu(), told[2].float().cpu())


def predict(
    transformer: Any, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning
) -> Tensor:
    told = conditioning.to(transformer.dtype)
    return transformer(
        hidden_states=noisy_latents.to(transformer.dtype),
        timestep=timesteps,
        encoder_hidden_states=told.embeddings,
        pooled_projections=told.pooled,
        return_dict=False,
    )[0]


def pipeline(parts: Parts, sampler: str) -> Pipeline:
    if sampler not in ("ddim", "euler"):
        raise UsageError(f"--sampler {sampler}: not for flow matching; choose ddim or euler, alike")
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(parts["scheduler"].config)
    without: Any = {"text_encoder_3": None, "tokenizer_3": None}
    return Pipeline(**{**parts, "scheduler": scheduler}, **without)


def example(config: Config) -> Inputs:
    size = config["sample_size"]
    embeddings = torch.zeros(1, 2 * 77, config["joint_attention_dim"])
    pooled = torch.zeros(1, config["pooled_projection_dim"])
    latents = torch.zeros(1, config["in_channels"], size, size)
    return latents, torch.zeros(1), Conditioning(embeddings, pooled)


def in_text_stream(name: str) -> bool:
    return any(part in name for part in _TEXT_STREAM)


SD3 = Architecture(
    name="sd3",
    sampler="euler",
    title="SD3",
    pipelines=("StableDiffusion3Pipeline",),
    denoiser="transformer",
    classes={
        "transformer": "diffusers:SD3Transformer2DModel",
        "vae": "diffusers:AutoencoderKL",
        "text_encoder": "transformers:CLIPTextModelWithProjection",
        "tokenizer": "transformers:CLIPTokenizer",
        "text_encoder_2": "transformers:CLIPTextModelWithProjection",
        "tokenizer_2": "transformers:CLIPTokenizer",
        "scheduler": "diffusers.schedulers:SchedulerMixin",
    },
    encode=encode,
    predict=predict,
    schedule=lambda scheduler: FlowSchedule(scheduler.sigmas.float().cpu()[:1000]),
    pipeline=pipeline,
    example=example,
    groups={
        "full": lambda name: True,
        "xattn": in_text_stream,
        "noxattn": lambda name: not in_text_stream(name),
    },
    shifts_latents=True,
)


def save_sd3(folder: Path) -> None:
    """A random model of some ten thousand weights, with two judges."""
    torch.manual_seed(0)
    text = {
        "vocab_size": len(make_tokenizer()),
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": TOKENS,
        "bos_token_id": 188,
        "eos_token_id": 189,
    }
    vae: Any = make_vae()
    vae.register_to_config(shift_factor=0.1)
    first, second = (
        CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=n, projection_dim=n, **text))
        for n in (16, 24)
    )
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=40,
        caption_projection_dim=16,
        pooled_projection_dim=40,
        out_channels=4,
        pos_embed_max_size=8,
    )
    # As it comes its last layer says nothing of its input, and so nothing of the prompt.
    torch.nn.init.normal_(transformer.norm_out.linear.weight, std=0.1)
    none: Any = None
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=first,
        tokenizer=make_tokenizer(),
        text_encoder_2=second,
        tokenizer_2=make_tokenizer(),
        text_encoder_3=none,
        tokenizer_3=none,
    ).save_pretrained(folder)
    save_judge(folder / "judge" / "object", OBJECTS)
    save_judge(folder / "judge" / "style", STYLES)
