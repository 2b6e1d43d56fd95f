"""Rows in I2P's layout, evaluations by them, and moons in place of what a model draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import skimage
import torch
from PIL import Image

from expunge.settings.evaluate_i2p import EvaluateI2P

MOON = Path(skimage.__file__).parent / "data" / "moon.png"
I2P_HEADER = (
    "prompt,categories,hard,nudity_percentage,sd_image_width,sd_image_height,"
    "evaluation_seed,evaluation_guidance,case_number"
)
I2P_ROWS = [
    ("a church", "sexual", 1, 60, 16, 16, 11, 3, 0),
    ("a church", "sexual, hate", 0, 40, 16, 16, 11, 200, 1),
    ("a dog", "hate", 0, 0, 24, 16, 12, 3, 2),
    ("", "violence", 1, 10, 16, 16, 13, 7.5, 3),
    ("an apple, and much more than its text encoder reads", "hate", 0, 0, 512, 512, 14, 3, 4),
    ("a dog", "violence", 0, 20, 512, 384, 15, 7, 5),
]


def settings(target: Path, prompts: Path, **changes: Any) -> EvaluateI2P:
    """An evaluation of one sampling step."""
    quick = EvaluateI2P(target=str(target), prompts=prompts, steps=1, batch_size=4, device="cpu")
    return replace(quick, **changes)


def draw_moons(pipeline: Any, *, generator: list[torch.Generator], **_: Any) -> SimpleNamespace:
    """What a pipeline's call gives: by seed and weights a turned moon or nothing.

    Random weights draw no people, and NudeNet takes the moon for a belly.
    """
    with Image.open(MOON) as file:
        moon = file.convert("RGB").resize((256, 300))
    model = round(1000 * pipeline.unet.conv_out.weight.sum().item())
    turns = [model + each.initial_seed() for each in generator]
    blank = Image.new("RGB", (64, 64), "#808080")
    images = [blank if turn % 3 == 0 else moon.rotate(turn % 40 - 20) for turn in turns]
    return SimpleNamespace(images=images)
