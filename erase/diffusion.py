"""The equations of latent diffusion, as plain functions of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from erase.conditioning import Conditioning, join
from erase.kernels import training_kernels
from erase.weights import widened
from plumbing.errors import UsageError

TRAIN_METHODS = {
    "full": lambda name: True,
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: ".attn2." not in name,
    "selfattn": lambda name: ".attn1." in name,
}


@dataclass(frozen=True)
class NoiseSchedule:
    """How a model was taught to denoise: alpha-bar [T] and what its UNet predicts."""

    alphas_cumprod: Tensor
    prediction_type: str

    @staticmethod
    def of(scheduler: Any) -> NoiseSchedule:
        """That of a diffusers scheduler; a UsageError unless it predicts epsilon or v."""
        kind = scheduler.config.get("prediction_type", "epsilon")
        if kind not in ("epsilon", "v_prediction") or not hasattr(scheduler, "alphas_cumprod"):
            raise UsageError(
                f"--model: its scheduler predicts {kind!r}; "
                "only epsilon and v_prediction are supported"
            )
        return NoiseSchedule(scheduler.alphas_cumprod.float().cpu(), kind)

    def __len__(self) -> int:
        """The number of timesteps, T."""
        return len(self.alphas_cumprod)

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


@torch.no_grad()
def encode_images(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance [B, 4, h, w] of the posterior of pixels [B, 3, H, W] in [-1, 1]."""
    weight = next(vae.parameters())
    posterior = vae.encode(pixels.to(weight)).latent_dist
    return posterior.mean.float().cpu(), posterior.logvar.float().cpu()


def sample_latents(mean: Tensor, logvar: Tensor, noise: Tensor, scaling_factor: float) -> Tensor:
    """A scaled draw x_0 = s (mu + sigma n) from the autoencoder's posterior, n ~ N(0, 1)."""
    return (mean + (0.5 * logvar).exp() * noise) * scaling_factor


def predict(
    unet: Any, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning
) -> Tensor:
    """The UNet's output eps_theta(x_t | c), in float32 if the arithmetic was in less."""
    told = conditioning.to(unet.dtype)
    output = unet(
        noisy_latents.to(unet.dtype),
        timesteps,
        told.embeddings,
        added_cond_kwargs=told.added,
        return_dict=False,
    )[0]
    return widened(output)


def guided_prediction(
    unet: Any,
    noisy_latents: Tensor,
    timesteps: Tensor,
    conditioning: Conditioning,
    no_prompt: Conditioning,
    guidance: float,
) -> Tensor:
    """(1 + g) eps_theta(x_t | c) - g eps_theta(x_t | ""), both with gradient; g = 0 is one pass.

    SalUn's g of 7.5 is a `guidance_scale` of 8.5 in diffusers' terms; `no_prompt` is of one prompt.
    """
    if guidance == 0:
        return predict(unet, noisy_latents, timesteps, conditioning)
    both = predict(
        unet,
        noisy_latents.repeat(2, 1, 1, 1),
        timesteps.repeat(2),
        join([conditioning, no_prompt[torch.zeros_like(timesteps)]]),
    )
    conditional, unconditional = both.chunk(2)
    return (1 + guidance) * conditional - guidance * unconditional


def trainable_parameters(unet: nn.Module, train_method: str) -> dict[str, nn.Parameter]:
    """The UNet's parameters that a `train_method` lets train; none is a UsageError."""
    chosen = TRAIN_METHODS[train_method]
    parameters = {name: p for name, p in unet.named_parameters() if chosen(name)}
    if not parameters:
        raise UsageError(f"--train-method {train_method}: selects no weight of this UNet")
    return parameters


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Arithmetic in `dtype` over float32 weights; nothing at all for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


@contextmanager
def training_arithmetic(unet: Any, dtype: torch.dtype) -> Iterator[None]:
    """Arithmetic in `dtype`, over weights in it or in float32, for passes with a gradient."""
    mixed = autocast(unet.device, dtype) if unet.dtype != dtype else nullcontext()
    with mixed, training_kernels(unet, dtype):
        yield
