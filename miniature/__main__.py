"""Make the miniature: fetch, render, train every part, judge it, write the card."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPModel, CLIPTokenizer

from erase.models.recommended import Recommended
from miniature.autoencoder import (
    encode_all,
    reconstruction_error,
    train_autoencoder,
)
from miniature.card import GUIDANCE, STEPS, write_card
from miniature.clip import save_clip, train_clip, zero_shot_accuracy
from miniature.judge import LABELS, accuracy, save_judge, train_judge
from miniature.render import load_icons, render_all, stack
from miniature.training import load_kept
from miniature.unet import caption_table, new_scheduler, train_unet
from miniature.without import make_without
from miniature.world import OBJECTS, STYLES, label, with_article

VARIANTS = 16
RECOMMENDED = Recommended(steps=STEPS, guidance_scale=GUIDANCE, lr=5e-4)
"""Eleven million weights bear, and need, a learning rate that would ruin 860."""

Renders = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def load_renders(work: Path, held_out: bool = False) -> Renders:
    """Render once, keep as .npz: pixels uint8 [N, 64, 64, 3], objects [N], styles [N]."""
    path = work / ("held-out.npz" if held_out else "renders.npz")
    if not path.exists():
        icons = load_icons(work / "npm")
        arrays = stack(render_all(icons, 2 if held_out else VARIANTS, int(held_out), held_out))
        part = path.with_suffix(".part.npz")
        np.savez(part, pixels=arrays[0], objects=arrays[1], styles=arrays[2])
        part.replace(path)
    with np.load(path) as saved:
        pixels, objects, styles = (
            torch.from_numpy(saved[k]) for k in ("pixels", "objects", "styles")
        )
    return pixels, objects, styles


def make_judges(
    renders: Renders, held_out: Renders, state: Path, out: Path, share: float
) -> dict[str, float]:
    """Train and save both judges; return their accuracy on held-out renders, in percent."""
    scores = {}
    for i, kind in enumerate(LABELS):
        judge = train_judge(kind, renders[0], renders[1 + i], state / f"judge-{kind}.pt", share)
        save_judge(judge, out / "judge" / kind)
        scores[f"judge_{kind}"] = accuracy(judge, held_out[0], held_out[1 + i])
    return scores


def save_pipeline(
    vae: AutoencoderKL,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    out: Path,
) -> None:
    """Write the folder that plain ``StableDiffusionPipeline.from_pretrained`` opens, in fp16."""
    save_clip(clip.half(), tokenizer, out / "clip")
    StableDiffusionPipeline(
        vae=vae.half(),
        text_encoder=clip.text_model,
        tokenizer=tokenizer,
        unet=unet.half(),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(out)
    RECOMMENDED.write(out)


def zero_shot_prompts() -> tuple[list[str], list[str]]:
    """A prompt for every object, and one for every style."""
    objects = [f"an image of {with_article(label(o))}" for o in OBJECTS]
    return objects, [f"an image in {s} style" for s in STYLES]


def encode_renders(vae: AutoencoderKL, pixels: torch.Tensor, path: Path) -> list[torch.Tensor]:
    """Scaled posterior means and deviations of all renders, kept beside the training states."""
    return load_kept(
        path, lambda: [part * vae.config.scaling_factor for part in encode_all(vae, pixels)]
    )


def make(work: Path, out: Path, share: float = 1.0) -> None:
    """Run every stage; finished and half-finished ones are taken up where they stopped.

    `share` of every training's steps is run.
    """
    state = work / "state"
    state.mkdir(parents=True, exist_ok=True)
    renders, held_out = load_renders(work), load_renders(work, held_out=True)
    pixels, objects, styles = renders
    vae = train_autoencoder(pixels, state / "autoencoder.pt", share)
    clip, tokenizer = train_clip(pixels, objects, styles, state / "clip.pt", share)
    latents = encode_renders(vae, pixels, state / "latents.pt")
    captions = caption_table(clip.text_model, tokenizer)
    unet = train_unet(latents, objects, styles, captions, state / "unet.pt", share)
    scores = {"reconstruction_l1": reconstruction_error(vae, held_out[0][::7])}
    for name, targets, prompts in zip(
        ("clip_object", "clip_style"), held_out[1:], zero_shot_prompts(), strict=True
    ):
        scores[name] = zero_shot_accuracy(clip, tokenizer, held_out[0], targets, prompts)
    save_pipeline(vae, clip, tokenizer, unet, out)
    scores |= make_judges(renders, held_out, state, out, share)
    for config in out.rglob("config.json"):
        open_in_single(config)
    minutes = {f.stem: torch.load(f, mmap=True)["seconds"] / 60 for f in trained(state)}
    if share < 1:
        planned = sum(minutes.values()) / share
        print(
            f"trained {share:g} of the steps; at this pace all of them take {planned:.0f} minutes"
        )
    write_card(out, scores, minutes)


def open_in_single(config: Path) -> None:
    """Let half-precision weights open in float32: transformers would follow what was saved.

    A pipeline of a half text encoder and a single UNet does not run.
    """
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"dtype": "float16"', '"dtype": "float32"'), encoding="utf-8")


def trained(state: Path) -> list[Path]:
    """The shipped model's training states, which know how long their training took."""
    states = sorted(state.glob("*.pt"))
    return [f for f in states if not f.stem.startswith("latents") and "-without-" not in f.stem]


def main() -> None:
    """Parse the two folders and run."""
    parser = argparse.ArgumentParser(prog="python -m miniature", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/miniature"), help="scratch folder")
    parser.add_argument("--out", type=Path, help="model folder (default: erase/miniature)")
    parser.add_argument(
        "--without",
        metavar="OBJECT",
        choices=OBJECTS,
        help="train the shipped miniature's UNet again without an object's renders, into "
        "WORK/without-OBJECT: a model that never knew it",
    )
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="share of the training steps, to try the whole recipe in minutes; needs its own "
        "--work and --out",
    )
    args = parser.parse_args()
    if not 0 < args.share <= 1:
        parser.error(f"--share must be above 0 and at most 1, not {args.share}")
    shipped = Path("erase/miniature")
    if args.share < 1 and (args.work == parser.get_default("work") or not args.out):
        parser.error("--share needs a --work and an --out of its own")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.work.mkdir(parents=True, exist_ok=True)
    if args.without:
        out = args.out or args.work / f"without-{args.without}"
        renders = load_renders(args.work)
        make_without(args.without, renders, shipped, args.work / "state", out, args.share)
    else:
        make(args.work, args.out or shipped, args.share)


if __name__ == "__main__":
    main()
