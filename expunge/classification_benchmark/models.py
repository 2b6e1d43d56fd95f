"""Classifiers that train on small images: ResNet-20, ResNet-18 in its CIFAR form, a tiny one.

He et al., 2016 (arXiv 1512.03385): ResNet-20 is its section 4.2, with a projection where the width
changes; ResNet-18 in its CIFAR form has a 3x3 stem and no pooling after it, as in SalUn's paper.
Every part starts from torch's own initialisation, so that `reset_parameters` makes it new.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from expunge.settings.classification import ModelName


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        """The first convolution and the shortcut have the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        same = stride == 1 and width_in == width
        self.shortcut = nn.Sequential() if same else _project(width_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width_in, H, W] to [B, width, H / stride, W / stride]."""
        hidden = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def build_model(name: ModelName, channels: int, classes: int, *, stem_stride: int = 1) -> nn.Module:
    """An untrained classifier: images [B, channels, H, W] to logits [B, classes].

    With `stem_stride` 2 the first convolution halves the image's sides, and all is four times as
    quick.
    """
    widths, blocks = {
        "resnet20": ((16, 32, 64), 3),
        "resnet18": ((64, 128, 256, 512), 2),
        "small": ((16, 32), 1),
    }[name]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, widths[0], 3, stem_stride, 1, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    before = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            layers.append(Block(before, width, 2 if stage and not block else 1))
            before = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return nn.Sequential(*layers)


def _project(width_in: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
