"""The noise schedule of a model: x_t, what is predicted of it, and what an error at t weighs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from erase.diffusion.scheduler_config import prediction_type_of
from plumbing.errors import UsageError


class Schedule(Protocol):
    """How a model was taught to denoise; timesteps, [B], are what its denoiser is told of them."""

    @property
    def prediction_type(self) -> str:
        """What the denoiser predicts, in diffusers' word."""
        ...

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Timesteps to train at, [count]."""
        ...

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t, of the latents' shape."""
        ...

    def prediction_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict of x_t, of the latents' shape."""
        ...

    def noise_weight(self, timesteps: Tensor, limit: float) -> Tensor:
        """What an error at t weighs, [B, 1, 1, 1], between 1 and `limit`."""
        ...


@dataclass(frozen=True)
class NoiseSchedule:
    """How a model was taught to denoise: alpha-bar [T] and what its UNet predicts."""

    alphas_cumprod: Tensor
    prediction_type: str

    @staticmethod
    def of(scheduler: Any) -> NoiseSchedule:
        """That of a diffusers scheduler; a UsageError unless epsilon or v is learned from it."""
        kind = prediction_type_of(scheduler.config)
        if kind not in ("epsilon", "v_prediction"):
            raise UsageError(
                f"--model: its scheduler predicts {kind!r}; "
                "only epsilon and v_prediction are supported"
            )
        betas, levels = scheduler.betas, scheduler.alphas_cumprod.float().cpu()
        if not ((betas >= 0) & (betas <= 1)).all():
            raise UsageError(
                "--model: its scheduler's betas are not shares of noise, from 0 to 1; get it anew"
            )
        if kind == "epsilon" and not levels[-1]:
            raise UsageError(
                "--model: its scheduler goes to pure noise (rescale_betas_zero_snr), from which "
                "nothing is drawn by epsilon; set prediction_type to v_prediction if the model was "
                "trained so, else rescale_betas_zero_snr to false"
            )
        return NoiseSchedule(levels, kind)

    def __len__(self) -> int:
        """The number of timesteps, T."""
        return len(self.alphas_cumprod)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Each of the T timesteps as likely as another; int64 [count]."""
        return torch.randint(len(self), (count,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps; timesteps [B]."""
        signal, noise_level = self._levels(timesteps, latents)
        return signal * latents + noise_level * noise

    def prediction_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the UNet is to predict: eps, or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0."""
        if self.prediction_type == "epsilon":
            return noise
        signal, noise_level = self._levels(timesteps, latents)
        return signal * noise - noise_level * latents

    def noise_weight(self, timesteps: Tensor, limit: float) -> Tensor:
        """1 / SNR between 1 and `limit`, [B, 1, 1, 1].

        A squared error of eps is one of x_0, times SNR.
        So what decides early in sampling, a style above all, hardly shows in the error of eps;
        weighted, it counts as it does in x_0. `limit` 1 leaves the error as it is.
        """
        signal, noise_level = self._levels(timesteps, timesteps)
        return (noise_level / signal).square().clamp(1, limit)

    def _levels(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alpha_bar = self.alphas_cumprod[timesteps.cpu()].to(like.device).view(-1, 1, 1, 1)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
