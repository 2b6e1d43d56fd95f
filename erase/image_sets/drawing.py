"""Images of a set, drawn by the model itself through its diffusers pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from erase.models.bundle import Bundle
from erase.models.prediction import drawing_arithmetic
from plumbing.halving import Halving

Progress = Callable[[int], object]
_DOUBLED = ("prompt_embeds", "pooled_prompt_embeds", "add_text_embeds", "add_time_ids")
"""What a guided step of a diffusers pipeline has twice: without the prompt, then with it."""


@dataclass(frozen=True)
class Drawing:
    """How images are drawn."""

    sampler: str
    steps: int
    guidance_scale: float
    batch_size: int
    dtype: torch.dtype = torch.float32
    guided_share: float = 1.0
    """Of the steps, the noisiest first, that are guided; the others take one pass, not two."""

    def guided(self, calls: int) -> int:
        """How many of a sampler's calls of the denoiser are guided; some call once more a run."""
        if self.guidance_scale <= 1:
            return 0
        guided = round(self.guided_share * self.steps)
        return calls if guided == self.steps else guided


def draw_batches(
    sd: Bundle,
    captions: Sequence[str],
    seeds: Sequence[int],
    batches: Sequence[range],
    drawing: Drawing,
    progress: Progress,
) -> Iterator[Tensor]:
    """The images of each batch of rows, [B, 3, height, width] in [-1, 1]."""
    pipeline, (width, height) = sd.pipeline(drawing.sampler), sd.native_size
    parts = [sd.denoiser, *sd.encoders]
    in_halves = Halving(
        "drawing images", too_much=should_reduce_batch_size, release=clear_device_cache
    )

    def draw(part: Sequence[tuple[str, int]]) -> Tensor:
        with drawing_arithmetic(parts, pipeline.device, drawing.dtype):
            images: Any = pipeline(
                [caption for caption, _ in part],
                generator=[torch.Generator().manual_seed(seed) for _, seed in part],
                height=height,
                width=width,
                num_inference_steps=drawing.steps,
                guidance_scale=drawing.guidance_scale if drawing.guided(drawing.steps) else 1.0,
                output_type="pt",
                **_unguided_after(pipeline, drawing),
            ).images  # pyright: ignore[reportAttributeAccessIssue]
        progress(len(images))
        return images.float() * 2 - 1

    for rows in batches:
        yield torch.cat(in_halves([(captions[row], seeds[row]) for row in rows], draw))


def image_seed(seed: int, role: str, number: int) -> int:
    """The seed of a set's image, by the run's seed, the set and its number."""
    digest = hashlib.sha256(f"{seed}/{role}/{number}".encode()).digest()
    return int.from_bytes(digest[:4])


def _unguided_after(pipeline: Any, drawing: Drawing) -> dict[str, Any]:
    """What tells a pipeline to guide only the first steps; nothing where all or none are."""
    guided = drawing.guided(drawing.steps)
    if guided in (0, drawing.steps):
        return {}

    def after_step(
        pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        if step + 1 != guided:
            return {}
        # Diffusers' own way to end guidance: a scale that asks for none, and half of the batch.
        pipeline._guidance_scale = 1.0
        return {name: tensor.chunk(2)[1] for name, tensor in tensors.items()}

    names = [name for name in _DOUBLED if name in pipeline._callback_tensor_inputs]
    return {
        "callback_on_step_end": after_step,
        "callback_on_step_end_tensor_inputs": names,
    }
