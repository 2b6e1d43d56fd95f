"""FT: fine-tuning on the retain set, in the hope that what is not repeated is forgotten."""

from __future__ import annotations

from erase.classification.examples import Set
from erase.classification.training import Training


def ft(training: Training, forget: Set, retain: Set) -> None:
    """Minimise the cross-entropy of the retain set; the forget set is not looked at."""
    for images, labels, _ in training.batches(retain):
        training.step(training.error(images, labels))
