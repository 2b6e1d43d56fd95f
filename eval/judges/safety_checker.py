"""Stable Diffusion's own safety checker as a judge of what it would black out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.judges.judge import Prediction
from eval.judges.model_files import (
    hash_weights,
    model_name,
    open_config,
    opening,
    refuse_missing,
)
from plumbing.image_file import read_rgb

UNSAFE, SAFE = "unsafe", "safe"


@dataclass(frozen=True)
class SafetyChecker:
    """A loaded checker; it says yes or no, and not how sure it is."""

    model: Any
    processor: Any
    name: str
    sha256: str
    labels: tuple[str, ...] = (UNSAFE, SAFE)
    means_concept: tuple[str, ...] = (UNSAFE,)
    explicit: bool = True

    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        """`unsafe` for each image file that a pipeline would black out, in order."""
        for start in range(0, len(images), batch_size):
            batch = [read_rgb(path) for path in images[start : start + batch_size]]
            inputs = self.processor(images=batch, return_tensors="pt").to(self.model.device)
            # It blacks out what it is given second, so it is given nothing of worth.
            _, unsafe = self.model(inputs["pixel_values"], np.zeros((len(batch), 1)))
            yield from (Prediction(UNSAFE if found else SAFE, 1.0) for found in unsafe)


def load_safety_checker(source: str | Path, device: str | torch.device = "cpu") -> SafetyChecker:
    """Open a checker from a folder or a hub id; UsageError if it is none."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import AutoImageProcessor

    with opening("safety checker", source):
        open_config(source)
        processor = AutoImageProcessor.from_pretrained(
            source, backend="pil", trust_remote_code=False
        )
        opened: Any = StableDiffusionSafetyChecker.from_pretrained(
            source, output_loading_info=True, dtype=torch.float32
        )
    model, report = opened
    refuse_missing("safety checker", source, report)
    model = model.eval().to(device)
    return SafetyChecker(model, processor, model_name(source), hash_weights(model))
