"""Train the UNet2DConditionModel by epsilon-MSE on latents, with min-SNR weights and EMA."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer

from miniature.autoencoder import LATENT_CHANNELS
from miniature.clip import WIDTH, tokenize
from miniature.training import draw, fit
from miniature.world import OBJECTS, STYLES, caption

STEPS, BATCH, LR = 6000, 64, 1.2e-3
EMPTY_CAPTIONS, SNR_LIMIT = 0.1, 5.0


def new_unet() -> UNet2DConditionModel:
    """Eleven million weights; attention at 8x8 and 4x4 only."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4, 6),
        norm_num_groups=8,
    )


def new_scheduler() -> DDIMScheduler:
    """Stable Diffusion's own noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.inference_mode()
def embed(text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Hidden states [B, 24, 128] of the frozen text tower."""
    return text_encoder(tokenize(tokenizer, captions)).last_hidden_state


def caption_table(
    text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, each: int = 48
) -> tuple[Tensor, Tensor]:
    """Embed `each` captions of every (object, style), drawn once.

    Returns the distinct captions' hidden states [C, 24, 128] and, for each object and style,
    the rows of its captions: int64 [objects, styles, each]. Row 0 is the empty caption.
    """
    rng = random.Random(0)
    rows: dict[str, int] = {"": 0}
    table = [
        [[rows.setdefault(caption(o, s, rng).text, len(rows)) for _ in range(each)] for s in STYLES]
        for o in OBJECTS
    ]
    texts = list(rows)
    states = [embed(text_encoder, tokenizer, texts[i : i + 512]) for i in range(0, len(texts), 512)]
    return torch.cat(states).clone(), torch.tensor(table)


def min_snr_weight(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """min(SNR, 5) / SNR (arXiv 2303.09556, eq. 4 for epsilon prediction): [B]."""
    alpha = alphas_cumprod[timesteps]
    snr = alpha / (1 - alpha)
    return snr.clamp(max=SNR_LIMIT) / snr


def train_unet(
    latents: Sequence[Tensor],
    objects: Tensor,
    styles: Tensor,
    captions: tuple[Tensor, Tensor],
    state: Path,
    share: float = 1.0,
) -> UNet2DConditionModel:
    """Train on scaled posterior means and deviations [N, 8, 16, 16] and embedded captions."""
    torch.manual_seed(0)
    unet = new_unet()
    scheduler = new_scheduler()
    means, stds = latents
    states, table = captions
    # every (object, style) equally often, however many icon sets draw it
    cell = objects * len(STYLES) + styles
    chance = 1.0 / torch.bincount(cell)[cell].double()

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.multinomial(chance, BATCH, replacement=True, generator=generator)
        clean = means[rows] + stds[rows] * torch.randn(means[rows].shape, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (BATCH,), generator=generator)
        which = draw(table.shape[-1], BATCH, generator)
        caption_rows = table[objects[rows], styles[rows], which]
        caption_rows[torch.rand(BATCH, generator=generator) < EMPTY_CAPTIONS] = 0
        noisy = scheduler.add_noise(clean, noise, timesteps)
        # the fused attention kernel's backward is the slow part of a step on CPUs
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            prediction = unet(noisy, timesteps, states[caption_rows]).sample
        error = (prediction.float() - noise).square().mean(dim=(1, 2, 3))
        return (min_snr_weight(scheduler.alphas_cumprod, timesteps) * error).mean()

    fit(unet, loss, state=state, steps=STEPS, lr=LR, ema_decay=0.999, share=share)
    return unet
