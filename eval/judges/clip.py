"""CLIP features of images and prompts: unit vectors in float32, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from eval.judges.model_files import (
    hash_weights,
    model_name,
    open_config,
    opening,
    refuse_missing,
)
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb

T = TypeVar("T")

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """A loaded CLIP model with its name and the hash of its weights."""

    model: Any
    processor: Any
    tokenizer: Any
    name: str
    sha256: str

    @property
    def width(self) -> int:
        """Length of a feature vector."""
        return self.model.config.projection_dim

    @torch.no_grad()
    def image_features(self, images: Sequence[Path], batch_size: int = 64) -> Features:
        """Unit features [n, width] of image files, in order."""

        def embed(batch: Sequence[Path]) -> Any:
            pixels = [read_rgb(path) for path in batch]
            inputs = self.processor(images=pixels, return_tensors="pt").to(self.model.device)
            return self.model.get_image_features(pixel_values=inputs["pixel_values"])

        return self._in_batches(images, batch_size, embed)

    @torch.no_grad()
    def text_features(self, prompts: Sequence[str], batch_size: int = 256) -> Features:
        """Unit features [n, width] of prompts, in order; cut at the model's longest text."""
        longest = self.model.config.text_config.max_position_embeddings

        def embed(batch: Sequence[str]) -> Any:
            inputs = self.tokenizer(
                list(batch),
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            ).to(self.model.device)
            return self.model.get_text_features(inputs.input_ids, inputs.attention_mask)

        return self._in_batches(prompts, batch_size, embed)

    def _in_batches(
        self, items: Sequence[T], batch_size: int, embed: Callable[[Sequence[T]], Any]
    ) -> Features:
        features = np.empty((len(items), self.width), dtype=np.float32)
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            vectors = embed(batch).pooler_output.float()
            unit = torch.nn.functional.normalize(vectors, dim=-1)
            features[start : start + len(batch)] = unit.cpu().numpy()
        return features


def load_clip(source: str | Path, device: str | torch.device = "cpu") -> Clip:
    """Open a CLIP model from a folder or a hub id; UsageError if it is not one."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, CLIPModel

    with opening("CLIP model", source):
        config = open_config(source)
        # The PIL processor: the default one warns when torchvision is not installed.
        processor = AutoImageProcessor.from_pretrained(
            source, backend="pil", trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model, report = AutoModel.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
    if not isinstance(model, CLIPModel):
        raise UsageError(f"{source} is no CLIP model but a {type(model).__name__}")
    refuse_missing("CLIP model", source, report)
    model = model.eval().to(device)  # type: ignore[arg-type]
    return Clip(model, processor, tokenizer, model_name(source), hash_weights(model))
