"""A loaded model as `eval.attack` sees it; see `eval.attack.attackable.Attackable`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from erase.diffusion.conditioning import Conditioning, join
from erase.diffusion.latents import encode_images
from erase.models import soft_words
from erase.models.bundle import Bundle
from erase.models.prediction import predict
from erase.models.sampling import Sampling, guided
from plumbing.image_file import read_rgb

FULL_SIZE_LR = 1e-5
"""Adam's rate that fine-tunes a model of full size, in the published relearning attacks."""
SHARE_OF_LR = 0.1
"""The same, in the rate that a small model recommends for being erased from."""


class UnderAttack:
    """A model under attack, drawn by DDIM in `steps` steps at a guidance scale."""

    slot = soft_words.SLOT

    def __init__(
        self,
        bundle: Bundle,
        *,
        sha256: str,
        steps: int,
        guidance: float,
        lr: float | None,
        at_once: int = 16,
    ) -> None:
        """`lr` is what the model recommends for itself, if it does.

        `at_once` images are encoded, drawn or decoded together.
        """
        self.sha256 = sha256
        self.usual_lr = FULL_SIZE_LR if lr is None else lr * SHARE_OF_LR
        self._at_once = at_once
        self._bundle, self._guidance = bundle, guidance
        self._sampling = Sampling(bundle, steps)
        self._nothing = bundle.encode_nothing()
        for part in (bundle.denoiser, *bundle.encoders):
            part.requires_grad_(False)

    @property
    def denoiser(self) -> nn.Module:
        """The part that predicts, with all its weights."""
        return self._bundle.denoiser

    @property
    def _device(self) -> torch.device:
        return self._bundle.denoiser.device

    def fork(self) -> UnderAttack:
        """A copy whose denoiser can be trained without changing this model."""
        own = self._bundle
        parts = {**own.parts, own.architecture.denoiser: copy.deepcopy(own.denoiser)}
        other = copy.copy(self)
        other._bundle = Bundle(own.architecture, parts, own.source)
        return other

    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Encode prompts; without gradient."""
        return self._bundle.encode(prompts)

    def encode_nothing(self, count: int) -> Conditioning:
        """What guidance leads away from, of as many prompts."""
        return self._nothing[torch.zeros(count, dtype=torch.long)]

    def encode_soft(self, prompts: Sequence[str], vectors: soft_words.Vectors) -> Conditioning:
        """Encode prompts with `slot`s, keeping the gradient to the vectors that fill them."""
        return soft_words.encode_soft(self._bundle, prompts, vectors)

    def with_embeddings(self, told: Conditioning, embeddings: Tensor) -> Conditioning:
        """The same with another text embedding, [P, L, D]."""
        return replace(told, embeddings=embeddings)

    def word_tables(self) -> list[Tensor]:
        """The vectors of all words that each text encoder knows, [V, W], on the CPU."""
        return [table.float().cpu() for table in soft_words.word_tables(self._bundle)]

    def word_ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        return soft_words.word_ids(self._bundle, text)

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        return soft_words.text_of(self._bundle, ids)

    def special_ids(self) -> list[int]:
        """The tokens that no text has."""
        return soft_words.special_ids(self._bundle)

    def latents(self, images: Sequence[Path]) -> Tensor:
        """Encode image files of the model's own size, [N, C, h, w]; the posterior's mean."""
        vae = self._bundle.vae
        found = [
            encode_images(vae, _pixels(images[i : i + self._at_once]))[0]
            for i in self._starts(images)
        ]
        return torch.cat(found).to(self._device) * vae.config.scaling_factor

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """What drawing begins with, as diffusers draws it: on the CPU, a generator a seed."""
        shape = (1, *self._sampling.shape)
        rows = [torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds]
        return self._sampling.begin(torch.cat(rows))

    def draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Timesteps as in training, [count]."""
        return self._bundle.schedule.draw(count, generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t."""
        return self._bundle.schedule.add_noise(latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict of x_t."""
        return self._bundle.schedule.prediction_target(latents, noise, timesteps)

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, told: Conditioning) -> Tensor:
        """What it predicts, in float32, keeping gradients."""
        device = self._device
        return predict(self._bundle.denoiser, noisy_latents, timesteps.to(device), told.to(device))

    def timesteps(self) -> Tensor:
        """The sampler's timesteps, the noisiest first, [S]."""
        return self._sampling.timesteps

    @torch.no_grad()
    def denoise(
        self, latents: Tensor, told: Conditioning, first: int = 0, last: int | None = None
    ) -> Tensor:
        """Sample from step `first` to before step `last`, guided."""
        rows = [
            self._denoise(latents[i : i + self._at_once], told[i : i + self._at_once], first, last)
            for i in self._starts(latents)
        ]
        return torch.cat(rows)

    def _denoise(self, latents: Tensor, told: Conditioning, first: int, last: int | None) -> Tensor:
        both = join([self.encode_nothing(len(latents)), told])
        for timestep in self._sampling.timesteps[first:last]:
            found = self.predict(
                latents.repeat(2, 1, 1, 1), timestep.expand(2 * len(latents)), both
            )
            latents = self._sampling.step(
                guided(*found.chunk(2), self._guidance), timestep, latents
            )
        return latents

    @torch.no_grad()
    def invert(self, latents: Tensor, told: Conditioning, iterations: int) -> Tensor:
        """The noise that the sampler, run backwards without guidance, comes to.

        Each step backwards is a fixed point: the latents from which the step forwards leads here.
        """
        for timestep in self._sampling.timesteps.flip(0):
            noisier = latents
            for _ in range(iterations):
                found = self.predict(noisier, timestep.expand(len(latents)), told)
                reached = self._sampling.step(found, timestep, noisier)
                # How much of a change the step passes on, the prediction being what it is.
                gain = self._sampling.step(found, timestep, noisier + 1) - reached
                noisier = noisier + (latents - reached) / gain
            latents = noisier
        return latents

    def _starts(self, rows: Any) -> range:
        return range(0, len(rows), self._at_once)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents to images."""
        vae = self._bundle.vae
        weight = next(vae.parameters())
        images: list[Image.Image] = []
        for i in self._starts(latents):
            scaled = latents[i : i + self._at_once] / vae.config.scaling_factor
            scaled = scaled + (vae.config.get("shift_factor") or 0)
            pixels = vae.decode(scaled.to(weight), return_dict=False)[0].float()
            images += _images(pixels)
        return images


def _pixels(images: Sequence[Path]) -> Tensor:
    arrays = [np.asarray(read_rgb(path), dtype=np.float32) for path in images]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


def _images(pixels: Tensor) -> list[Image.Image]:
    """Pixels in [-1, 1] as diffusers rounds them."""
    scaled = (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray((one * 255).round().astype("uint8")) for one in scaled]
