"""A Stable Diffusion model in its parts."""

from __future__ import annotations

import erase.models.pil_processors  # noqa: F401

# isort: split
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from erase.models.model_source import ModelSource
from erase.models.sampler import build_sampler


@dataclass(frozen=True)
class StableDiffusion:
    """The parts of a Stable Diffusion 1.x, 2.x or XL model, and where they came from."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: Any
    source: ModelSource
    text_encoder_2: CLIPTextModelWithProjection | None = None
    """SDXL's second one, whose pooled embedding the UNet takes too."""
    tokenizer_2: CLIPTokenizer | None = None
    force_zeros_for_empty_prompt: bool = False
    """Whether zeros stand for the empty prompt that guidance leads away from (most SDXL)."""

    @property
    def image_size(self) -> int:
        """Height and width in pixels that the UNet was made for."""
        scale = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return int(self.unet.config["sample_size"]) * scale

    @property
    def encoders(self) -> list[Any]:
        """All parts with weights but the UNet."""
        parts = [self.vae, self.text_encoder, self.text_encoder_2]
        return [part for part in parts if part is not None]

    def release_encoders(self) -> None:
        """Free the weights of all parts but the UNet; what is encoded stays."""
        for part in self.encoders:
            part.to(torch.device("meta"))

    def pipeline(self, sampler: str) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
        """A diffusers pipeline over the same weights, with this sampler and no safety checker."""
        parts: dict[str, Any] = {
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "unet": self.unet,
            "scheduler": build_sampler(sampler, self.scheduler.config),
        }
        if self.text_encoder_2 is None:
            parts |= {"safety_checker": None, "feature_extractor": None}
            pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        else:
            parts |= {"text_encoder_2": self.text_encoder_2, "tokenizer_2": self.tokenizer_2}
            pipeline = StableDiffusionXLPipeline(
                **parts,
                force_zeros_for_empty_prompt=self.force_zeros_for_empty_prompt,
                # It would mark images where its package happens to be installed.
                add_watermarker=False,
            )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
