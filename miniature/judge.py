"""Train the judges: small ResNets that name a picture's object or style, on renders alone."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

from miniature.training import as_pixels, draw, fit
from miniature.world import OBJECTS, STYLES, label

LABELS = {"object": [label(o) for o in OBJECTS], "style": list(STYLES)}
STEPS = {"object": 3000, "style": 600}
BATCH, LR = 96, 2e-3


def new_judge(kind: str) -> ResNetForImageClassification:
    """A four-stage ResNet of about a million weights over 64x64 pictures."""
    labels = dict(enumerate(LABELS[kind]))
    config = ResNetConfig(
        embedding_size=32,
        hidden_sizes=[48, 96, 128, 192],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
    )
    return ResNetForImageClassification(config)


def disturb(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur some pictures and add noise of a random strength, so that small artefacts don't matter.

    Shapes: [B, 3, 64, 64] in [-1, 1] to the same.
    """
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    share = torch.rand(len(images), 1, 1, 1, generator=generator)
    strength = 0.25 * torch.rand(len(images), 1, 1, 1, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    return torch.lerp(images, blurred, share) + strength * noise


def train_judge(
    kind: str, pixels: Tensor, targets: Tensor, state: Path, share: float = 1.0
) -> ResNetForImageClassification:
    """Train a judge on renders: uint8 [N, 64, 64, 3] and the label of each, int64 [N]."""
    torch.manual_seed(0)
    judge = new_judge(kind).to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator) -> Tensor:
        rows = draw(len(pixels), BATCH, generator)
        images = disturb(as_pixels(pixels[rows]), generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(images).logits
        return F.cross_entropy(logits.float(), targets[rows], label_smoothing=0.05)

    fit(judge, loss, state=state, steps=STEPS[kind], lr=LR, weight_decay=0.05, share=share)
    return judge


@torch.inference_mode()
def predict(judge: ResNetForImageClassification, pixels: Tensor) -> Tensor:
    """The label index of every picture: uint8 [N, 64, 64, 3] to int64 [N]."""
    return torch.cat([judge(as_pixels(rows)).logits.argmax(1) for rows in pixels.split(256)])


def accuracy(judge: ResNetForImageClassification, pixels: Tensor, targets: Tensor) -> float:
    """Share of pictures named right, in percent."""
    return 100 * (predict(judge, pixels) == targets).double().mean().item()


def save_judge(judge: ResNetForImageClassification, folder: Path) -> None:
    """Write the judge in half precision with its image processor (which needs no torchvision)."""
    judge.half().save_pretrained(folder)
    judge.float()
    ConvNextImageProcessorPil(
        do_resize=True,
        size={"shortest_edge": 64},
        crop_pct=1.0,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    ).save_pretrained(folder)
