"""Images as latents: the encoder's posterior, and samples of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def encode_images(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance [B, C, h, w] of the posterior of pixels [B, 3, H, W] in [-1, 1].

    What an autoencoder's latents are shifted by before they are scaled is off the mean.
    """
    weight = next(vae.parameters())
    posterior = vae.encode(pixels.to(weight)).latent_dist
    mean, shift = posterior.mean.float(), vae.config.get("shift_factor")
    return (mean - shift if shift else mean).cpu(), posterior.logvar.float().cpu()


def sample_latents(mean: Tensor, logvar: Tensor, noise: Tensor, scaling_factor: float) -> Tensor:
    """A scaled draw x_0 = s (mu + sigma n) from the autoencoder's posterior, n ~ N(0, 1)."""
    return (mean + (0.5 * logvar).exp() * noise) * scaling_factor
