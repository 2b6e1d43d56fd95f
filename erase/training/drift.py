"""How far a denoiser has moved from the original, on prompts that the training does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.diffusion.noise_schedule import Schedule
from erase.image_sets.datasets import RetainSet
from erase.models.prediction import predict, training_arithmetic
from erase.training.batches import NoisyBatch, add_noise

PROMPTS = 8
"""What a guard asks for; with twice as many it took 4 % of the training of the miniature."""
_SEED = 0x5EED


def held_out(prompts: Sequence[str], seen: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` of the prompts that are not among those `seen`; the others follow if need be."""
    unseen = [prompt for prompt in prompts if prompt not in set(seen)]
    others = [prompt for prompt in prompts if prompt in set(seen)]
    chosen = (unseen + others)[:count]
    return tuple(chosen[i % len(chosen)] for i in range(count))


@dataclass(frozen=True)
class DriftProbe:
    """Some noised images under prompts to be kept, and what the original predicts of them."""

    batch: NoisyBatch
    original: Tensor
    """[B, C, h, w], on the CPU."""
    scale: Tensor
    """Sum of the squares by which the original's predictions change with the prompt."""
    at_once: int
    dtype: torch.dtype

    @staticmethod
    def of(
        unet: Any,
        schedule: Schedule,
        scaling_factor: float,
        images: RetainSet,
        conditioning: Conditioning,
        *,
        at_once: int,
        dtype: torch.dtype,
    ) -> DriftProbe:
        """Ask the original denoiser; `conditioning` is of B prompts, `at_once` of them in one pass.

        The noised images are of the retain set, whatever their own prompts: what is compared is how
        two denoisers answer one question, and for that the question need not be a likely one.
        """
        rows = torch.arange(len(conditioning)) % len(images)
        generator = torch.Generator().manual_seed(_SEED)
        noised = add_noise(schedule, scaling_factor, images, rows, generator)
        batch = replace(noised, conditioning=conditioning)
        # Each image under another's prompt.
        swapped = conditioning[torch.arange(len(conditioning)).roll(1)]
        original = _predict(unet, batch, at_once, dtype)
        other = _predict(unet, replace(noised, conditioning=swapped), at_once, dtype)
        return DriftProbe(batch, original, (other - original).square().sum(), at_once, dtype)

    def measure(self, unet: Any) -> float:
        """|eps - eps_original|^2 over |eps_original(another prompt) - eps_original|^2, summed.

        0: as the original; 1: as far from it as if each prompt had been exchanged for another.
        """
        now = _predict(unet, self.batch, self.at_once, self.dtype)
        return float((now - self.original).square().sum() / self.scale)


@torch.no_grad()
def _predict(unet: Any, batch: NoisyBatch, at_once: int, dtype: torch.dtype) -> Tensor:
    said = []
    with training_arithmetic(unet, dtype):
        for start in range(0, len(batch), at_once):
            part = batch[slice(start, start + at_once)].to(unet.device)
            said.append(predict(unet, *part.inputs).cpu())
    return torch.cat(said)
