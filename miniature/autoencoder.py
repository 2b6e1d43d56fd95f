"""Train the AutoencoderKL: L1 + gradient difference + a small KL, then unit-variance latents."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from miniature.training import as_pixels, draw, fit

STEPS, BATCH, LR = 3300, 16, 2e-3
LATENT_CHANNELS, COLOUR_WEIGHT, KL_WEIGHT = 8, 5.0, 1e-4


def new_autoencoder() -> AutoencoderKL:
    """64x64 pictures to latents [8, 16, 16] and back: about a million weights."""
    return AutoencoderKL(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=16,
        sample_size=64,
        mid_block_add_attention=False,
    )


def gradient_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the horizontal and vertical pixel differences."""
    across = (a.diff(dim=3) - b.diff(dim=3)).abs().mean()
    return across + (a.diff(dim=2) - b.diff(dim=2)).abs().mean()


def colour_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of red - green and blue - green over 4x4 blocks.

    Squared, since L1 leaves a hue that is not yet drawn at all at its median for ever: an
    autoencoder trained on L1 alone drew greens as browns.
    """
    difference = F.avg_pool2d(a - b, 4)
    return (difference[:, 0] - difference[:, 1]).square().mean() + (
        difference[:, 2] - difference[:, 1]
    ).square().mean()


def train_autoencoder(pixels: Tensor, state: Path, share: float = 1.0) -> AutoencoderKL:
    """Train on renders (uint8 [N, 64, 64, 3]) and set `scaling_factor` from their latents."""
    torch.manual_seed(0)
    vae = new_autoencoder()

    def loss(generator: torch.Generator) -> Tensor:
        images = as_pixels(pixels[draw(len(pixels), BATCH, generator)])
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample
        decoded = decoded.float()
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).float().mean()
        shape = F.l1_loss(decoded, images) + gradient_difference(decoded, images)
        return shape + COLOUR_WEIGHT * colour_difference(decoded, images) + KL_WEIGHT * kl

    fit(vae, loss, state=state, steps=STEPS, lr=LR, weight_decay=0.0, share=share)
    sample = draw(len(pixels), 2048, torch.Generator().manual_seed(1))
    mean, _ = encode_all(vae, pixels[sample])
    vae.register_to_config(scaling_factor=round(1 / mean.std().item(), 5))
    return vae


@torch.inference_mode()
def encode_all(vae: AutoencoderKL, pixels: Tensor, batch: int = 128) -> tuple[Tensor, Tensor]:
    """Encode renders to unscaled posterior means and standard deviations, [N, 8, 16, 16] each."""
    parts = []
    for rows in tqdm(pixels.split(batch), desc="latents", unit="batch", mininterval=5):
        posterior = vae.encode(as_pixels(rows)).latent_dist
        parts.append((posterior.mean, posterior.std))
    means, stds = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(stds)


@torch.inference_mode()
def reconstruction_error(vae: AutoencoderKL, pixels: Tensor) -> float:
    """Mean absolute error in [-1, 1] of decoding the posterior's mean."""
    images = as_pixels(pixels)
    decoded = vae.decode(vae.encode(images).latent_dist.mean).sample
    return F.l1_loss(decoded.clamp(-1, 1), images).item()
