"""Images moved and mirrored at random while a model learns from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SHIFT = 4
"""Pixels, at most, in each direction."""


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image of [B, C, H, W] by up to 4 pixels, zeros coming in, and mirror half."""
    count, _, height, width = images.shape
    padded = nn.functional.pad(images, [SHIFT] * 4)
    down, right = torch.randint(2 * SHIFT + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand((count, 1), generator=generator) < 0.5
    columns = torch.where(mirrored, torch.arange(width).flip(0), torch.arange(width)) + right
    rows = torch.arange(height) + down
    one = torch.arange(count)[:, None, None]
    # Advanced indices around the channels put these last.
    return padded[one, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
