"""RL: the forget set learns wrong labels, drawn at random, while the retain set keeps its own.

Golatkar et al., 2020 (arXiv 1911.04933), as SalUn uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from erase.classification.examples import Set
from erase.classification.training import Training


def rl(training: Training, forget: Set, retain: Set, alpha: float) -> None:
    """Minimise (forget + alpha * retain) / (1 + alpha), each the mean cross-entropy of its set.

    The forget set's labels are wrong, drawn anew each time. Both sets are in the same batches, and
    each example counts as the two means ask, so what is forgotten weighs no more for being more.
    """
    total = len(forget) + len(retain)
    shares = torch.tensor([1.0, alpha]) / (1 + alpha)
    sizes = torch.tensor([len(forget), len(retain)]) / total
    for images, labels, source in training.batches(forget, retain):
        wrong = other_labels(labels, training.classes, training.generator)
        weights = (shares / sizes).to(labels.device)[source]
        training.step(training.error(images, torch.where(source == 0, wrong, labels), weights))


def other_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """For each label one of the others, every one as likely, never itself; int64 [B]."""
    steps = torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)
    return (labels + steps) % classes
