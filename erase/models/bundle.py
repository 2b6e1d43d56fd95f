"""A loaded model in its parts."""

from __future__ import annotations

import erase.models.pil_processors  # noqa: F401

# isort: split
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from erase.diffusion.conditioning import Conditioning, join
from erase.diffusion.noise_schedule import Schedule
from erase.models.architectures.architecture import Architecture
from erase.models.model_source import ModelSource
from plumbing.errors import UsageError

AT_ONCE = 64
"""Prompts encoded together."""


@dataclass(frozen=True)
class Bundle:
    """The parts of a text-to-image model, also attributes by their names, and whence they came."""

    architecture: Architecture
    parts: Mapping[str, Any]
    """By their names in the model's diffusers pipeline, with what its index settles."""
    source: ModelSource

    def __getattr__(self, name: str) -> Any:
        """A part by its name."""
        # Asked of a copy in the making, too, which has no parts yet.
        parts = vars(self).get("parts", {})
        if name not in parts:
            raise AttributeError(f"this model has no {name}")
        return parts[name]

    @property
    def denoiser(self) -> Any:
        """The part that predicts noise, and that is erased from: a UNet or a transformer."""
        return self.parts[self.architecture.denoiser]

    @property
    def vae(self) -> Any:
        """The autoencoder between images and latents."""
        return self.parts["vae"]

    @cached_property
    def schedule(self) -> Schedule:
        """How it was taught to denoise; a schedule that is not supported is a UsageError."""
        return self.architecture.schedule(self.parts["scheduler"])

    @property
    def native_size(self) -> tuple[int, int]:
        """(width, height) in pixels that it was made for."""
        return self.architecture.native_size(self.denoiser.config, self.vae.config)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Conditioning:
        """Encode prompts as the model's diffusers pipeline does; float32, on the CPU."""
        chunks = [prompts[i : i + AT_ONCE] for i in range(0, len(prompts), AT_ONCE)]
        return join([self.architecture.encode(self.parts, chunk) for chunk in chunks])

    @torch.no_grad()
    def encode_nothing(self) -> Conditioning:
        """What guidance leads away from, of one prompt."""
        own = self.architecture.encode_nothing
        return own(self.parts) if own else self.encode(("",))

    def trainable(self, train_method: str) -> dict[str, nn.Parameter]:
        """The denoiser's parameters that a `train_method` lets train; none is a UsageError.

        So is a model that was taught to denoise in a way that is not supported.
        """
        assert self.schedule
        own = self.architecture
        chosen = own.groups.get(train_method, lambda name: False)
        parameters = {name: p for name, p in self.denoiser.named_parameters() if chosen(name)}
        if not parameters:
            raise UsageError(
                f"--train-method {train_method}: selects no weight of this {own.denoiser_name}; "
                f"choose one of {', '.join(own.groups)}"
            )
        return parameters

    @property
    def encoders(self) -> list[nn.Module]:
        """All parts with weights but the denoiser."""
        modules = [part for part in self.parts.values() if isinstance(part, nn.Module)]
        return [part for part in modules if part is not self.denoiser]

    def release_encoders(self) -> None:
        """Free the weights of all parts but the denoiser; what is encoded stays."""
        for part in self.encoders:
            part.to(torch.device("meta"))

    def pipeline(self, sampler: str) -> Any:
        """A diffusers pipeline over the same weights, with this sampler and no safety checker."""
        pipeline = self.architecture.pipeline(self.parts, sampler)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
