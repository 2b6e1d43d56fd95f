"""Retrain: training anew without the forget set, the exact answer that others are measured by."""

from __future__ import annotations

import torch
from torch import nn

from erase.classification.examples import Set
from erase.classification.training import Training
from plumbing.errors import UsageError


def retrain(training: Training, forget: Set, retain: Set) -> None:
    """Minimise the cross-entropy of the retain set; the forget set is not looked at."""
    for images, labels, _ in training.batches(retain):
        training.step(training.error(images, labels))


def start_anew(model: nn.Module, seed: int) -> None:
    """Draw all weights of a model again, by its modules' own `reset_parameters`.

    A UsageError if a weight or buffer belongs to a module that has none: it would keep what it
    learned.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, module in model.named_modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()  # pyright: ignore[reportCallIssue]
                continue
            own = [n for n, _ in module.named_parameters(recurse=False)]
            own += [n for n, _ in module.named_buffers(recurse=False)]
            if own:
                raise UsageError(
                    f"retrain: {name or 'the model'} has {own[0]} but no reset_parameters method "
                    "that would draw it anew; give it one"
                )
