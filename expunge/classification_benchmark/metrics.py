"""What SalUn's paper measures of an unlearned classifier: UA, RA, TA, MIA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from erase.classification.examples import Examples, in_order
from expunge.classification_benchmark.sklearn_door import sklearn

_ATTACKED = 2000
"""Members and non-members that the attack learns from, at most; its SVM's time is quadratic."""
_BATCH = 512


@dataclass(frozen=True)
class Scores:
    """Of one model, in percent."""

    ua: float
    """Unlearning accuracy: 100 - accuracy on the forget set."""
    ra: float
    """Remaining accuracy: on the retain set."""
    ta: float
    """Test accuracy; where a class is forgotten, on the test images of the others."""
    mia: float
    """Share of the forget set that an attack takes for images never trained on."""
    mia_base: float
    """The same share of test images that the attack has not seen: what chance would give."""


def score(
    model: nn.Module,
    forget: Examples,
    retain: Examples,
    test: Examples,
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> Scores:
    """Measure a model; `seed` chooses which images the attack learns from."""
    sets = {"forget": forget, "retain": retain, "test": test}
    found = {name: probabilities(model, part, dtype=dtype) for name, part in sets.items()}
    labels = {name: part.labels.cpu() for name, part in sets.items()}
    accuracy = {
        n: 100 * (p.argmax(1) == labels[n]).double().mean().item() for n, p in found.items()
    }
    true = {n: p.gather(1, labels[n][:, None])[:, 0].double().numpy() for n, p in found.items()}
    mia, base = attack(true["forget"], true["retain"], true["test"], seed=seed)
    return Scores(100 - accuracy["forget"], accuracy["retain"], accuracy["test"], mia, base)


@torch.no_grad()
def probabilities(
    model: nn.Module, examples: Examples, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Softmax of the logits, float32 [N, classes] on the CPU, the model in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        rows = [model(images.to(device)) for images, _ in in_order(examples, _BATCH)]
    return torch.cat(rows).float().softmax(1).cpu()


def attack(
    forget: np.ndarray, retain: np.ndarray, test: np.ndarray, *, seed: int
) -> tuple[float, float]:
    """The confidence-based membership inference attack of SalUn's paper; MIA and its base rate, %.

    An SVM (RBF, C = 3) learns to tell members, m images of the retain set, from non-members, m of
    the test set, by one number each: the model's probability of the true label.

        MIA = 100 * |{x in the forget set: the SVM calls x a non-member}| / |forget set|

    and the base rate is the same share of the test images that it has not learned from, which a
    model that never saw the forget set should give for it, too, as far as both are alike. m is the
    smaller of |retain set|, half of |test set| and 2,000. The inputs are float64 [N].
    """
    generator = np.random.default_rng(seed)
    count = min(len(retain), len(test) // 2, _ATTACKED)
    members = generator.permutation(retain)[:count]
    others = generator.permutation(test)
    machine = sklearn("svm").SVC(C=3, gamma="auto", kernel="rbf")
    known = np.concatenate([members, others[:count]])[:, None]
    machine.fit(known, np.repeat([1, 0], count))
    shares = [
        100 * float(np.mean(machine.predict(part[:, None]) == 0))
        for part in (forget, others[count:])
    ]
    return shares[0], shares[1]
