"""Any transformers image classifier: images to labels and scores, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eval.judges.judge import Prediction
from eval.judges.model_files import (
    hash_weights,
    model_name,
    open_config,
    opening,
    refuse_missing,
)
from plumbing.image_file import read_rgb


@dataclass(frozen=True)
class Classifier:
    """A loaded image classifier with its name, the hash of its weights and its vocabulary."""

    model: Any
    processor: Any
    name: str
    sha256: str
    labels: tuple[str, ...]
    means_concept: tuple[str, ...] = ()
    explicit: bool = False

    @torch.no_grad()
    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        """The prediction of each image file, in order."""
        for start in range(0, len(images), batch_size):
            pixels = [read_rgb(path) for path in images[start : start + batch_size]]
            inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
            probabilities = self.model(**inputs).logits.float().softmax(-1)
            for value, index in zip(*(x.tolist() for x in probabilities.max(-1)), strict=True):
                yield Prediction(label=self.labels[index], score=round(value, 6))


def load_classifier(source: str | Path, device: str | torch.device = "cpu") -> Classifier:
    """Open a classifier from a folder or a hub id; UsageError if it is not one."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    with opening("image classifier", source):
        config = open_config(source)
        # The PIL processor: the default one warns when torchvision is not installed.
        processor = AutoImageProcessor.from_pretrained(
            source, backend="pil", trust_remote_code=False
        )
        model, report = AutoModelForImageClassification.from_pretrained(
            source,
            config=config,
            output_loading_info=True,
            dtype=torch.float32,
            trust_remote_code=False,
        )
        labels = tuple(str(model.config.id2label[i]) for i in range(model.config.num_labels))
    refuse_missing("image classifier", source, report)
    model = model.eval().to(device)
    return Classifier(model, processor, model_name(source), hash_weights(model), labels)
