"""The miniature that never knew an object: its UNet trained again without the object's renders.

What an attack reaches on it is the attack's floor. Autoencoder, text encoder and judges are the
shipped ones, so only the UNet differs; the recipe, the steps and the seed are the miniature's own.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from miniature.autoencoder import encode_all
from miniature.training import load_kept
from miniature.unet import caption_table, train_unet
from miniature.world import OBJECTS

logger = logging.getLogger(__name__)

Renders = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def without(name: str, renders: Renders) -> torch.Tensor:
    """The rows, int64 [M], of the renders that do not show the object `name`."""
    if name not in OBJECTS:
        raise ValueError(f"{name}: not an object of the miniature; one of {', '.join(OBJECTS)}")
    return (renders[1] != OBJECTS.index(name)).nonzero().flatten()


def make_without(
    name: str, renders: Renders, shipped: Path, state: Path, out: Path, share: float = 1.0
) -> None:
    """Train the UNet without `name`, resuming from `state`, and write the model's folder `out`."""
    if out.exists() and not (out / "model_index.json").is_file():
        raise ValueError(f"{out}: is there, and is no model's folder; name another --out")
    rows = without(name, renders)
    vae = AutoencoderKL.from_pretrained(shipped / "vae", torch_dtype=torch.float32)
    text_encoder = CLIPTextModel.from_pretrained(shipped / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(shipped / "tokenizer")
    logger.info("without %s: %d of %d renders", name, len(rows), len(renders[0]))

    scale = vae.config.scaling_factor
    latents = load_kept(
        state / "latents-shipped.pt", lambda: [scale * part for part in encode_all(vae, renders[0])]
    )
    unet = train_unet(
        [part[rows] for part in latents],
        renders[1][rows],
        renders[2][rows],
        caption_table(text_encoder.eval(), tokenizer),
        state / f"unet-without-{name}.pt",
        share,
    )
    part = out.with_name(f"{out.name}.partial")
    shutil.rmtree(part, ignore_errors=True)
    # Nor what tells of the shipped one's pictures and scores.
    left_out = ("__pycache__", "*.py", "unet", "README.md", "grid.png", "scores.json")
    shutil.copytree(shipped, part, ignore=shutil.ignore_patterns(*left_out))
    unet.half().save_pretrained(part / "unet")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
