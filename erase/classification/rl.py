"""RL: the forget set learns wrong labels, drawn at random, while the retain set keeps its own.

Golatkar et al., 2020 (arXiv 1911.04933), as SalUn uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from erase.classification.examples import Set
from erase.classification.training import Training


def rl(training: Training, forget: Set, retain: Set) -> None:
    """Minimise the cross-entropy of both sets together, the forget set's labels being wrong."""
    for images, labels, source in training.batches(forget, retain):
        wrong = other_labels(labels, training.classes, training.generator)
        training.step(training.error(images, torch.where(source == 0, wrong, labels)))


def other_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """For each label one of the others, every one as likely, never itself; int64 [B]."""
    steps = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
    return (labels + steps) % classes
