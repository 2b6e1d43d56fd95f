"""GA: gradient ascent on the forget set. Nothing holds the rest, so it takes few and small steps.

Graves et al., 2021 (arXiv 2010.10981); Thudi et al., 2022 (arXiv 2109.13398).
"""

from __future__ import annotations

from erase.classification.examples import Set
from erase.classification.training import Training


def ga(training: Training, forget: Set, retain: Set) -> None:
    """Maximise the cross-entropy of the forget set; the retain set is not looked at."""
    for images, labels, _ in training.batches(forget):
        training.step(-training.error(images, labels))
