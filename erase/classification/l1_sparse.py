"""l1-sparse: fine-tuning on the retain set with a penalty on the size of the weights.

Jia et al., 2023 (arXiv 2304.04934): sparse models forget more easily; the penalty falls to 0, so
that the last steps mend what it broke.
"""

from __future__ import annotations

from erase.classification.examples import Set
from erase.classification.training import Training


def l1_sparse(training: Training, forget: Set, retain: Set, gamma: float) -> None:
    """Minimise retain cross-entropy + gamma * (1 - t) * sum |w|, t from 0 to 1 over the steps.

    The sum is over what the mask lets change: of the rest it is a constant.
    """
    for images, labels, _ in training.batches(retain):
        penalty = sum(weights.abs().sum() for weights in training.trained())
        training.step(training.error(images, labels) + gamma * (1 - training.done) * penalty)
