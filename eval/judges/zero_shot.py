"""CLIP as the detector of any concept that can be put into words."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.judges.clip import Clip, Features
from eval.judges.judge import Prediction
from prompts.concept import ConceptSpec
from prompts.evaluation_rows import described


@dataclass(frozen=True)
class ZeroShot:
    """Asks which of many texts an image looks most like: prompts of the concept, or others.

    An image shows the concept if its forget prompts together get more than half of the softmax over
    all texts (Radford et al. 2021, arXiv 2103.00020, section 3.1, with the prompts as classes).
    """

    clip: Clip
    texts: Features
    """Unit features of the texts, [texts, width]."""
    text_labels: tuple[str, ...]
    """What each text stands for: the concept's name, or the text itself."""
    means_concept: tuple[str]
    explicit: bool = False

    @classmethod
    def of(cls, clip: Clip, spec: ConceptSpec) -> "ZeroShot":
        """The detector of `spec`, from its own prompts."""
        shown, others = described(spec)
        texts = clip.text_features([*shown, *others])
        return cls(clip, texts, (spec.name,) * len(shown) + others, (spec.name,))

    @property
    def name(self) -> str:
        """The CLIP model's name, and how it is used."""
        return f"{self.clip.name}, zero-shot"

    @property
    def sha256(self) -> str:
        """Hash of the CLIP model and the texts, which both decide."""
        return hashlib.sha256(json.dumps([self.clip.sha256, self.text_labels]).encode()).hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """The concept's name and every other text."""
        return tuple(dict.fromkeys(self.text_labels))

    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        """The concept or the other text nearest to each image, with its share of the softmax."""
        scale = self.clip.model.logit_scale.exp().item()
        (name,) = self.means_concept
        others = np.flatnonzero(np.array(self.text_labels) != name)
        for start in range(0, len(images), batch_size):
            features = self.clip.image_features(images[start : start + batch_size], batch_size)
            logits = scale * (features.astype(np.float64) @ self.texts.T)
            shares = np.exp(logits - logits.max(1, keepdims=True))
            shares /= shares.sum(1, keepdims=True)
            for row in shares:
                nearest = others[row[others].argmax()]
                shown = 1 - float(row[others].sum())
                best = (name, shown) if shown > 0.5 else (self.text_labels[nearest], row[nearest])
                yield Prediction(best[0], round(float(best[1]), 6))
