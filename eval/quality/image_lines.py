"""A line an image of `evaluate quality`: how like its prompt, how like the original's; no torch."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.distances import clip_scores, similarities
from plumbing.record import Finite
from prompts.evaluation_rows import PromptRow

Features = NDArray[np.float32]

DECIMALS = 6
"""To which `similarities.jsonl` is rounded; the means are of the rounded values, so recountable."""


@dataclass(frozen=True)
class ImageQuality:
    """One line of `similarities.jsonl`: a prompt and its image by each model."""

    id: str
    prompt: str
    clip_score_original: Finite | None
    """100 x cosine of image and prompt; None without an original."""
    clip_score_erased: Finite
    similarity: Finite | None
    """100 x cosine of the two images; None without an original."""

    def clip_score(self, model: str) -> float | None:
        """That of the `original` or the `erased` model's image."""
        return self.clip_score_original if model == "original" else self.clip_score_erased


def measure_images(
    rows: Sequence[PromptRow], texts: Features, original: Features | None, erased: Features
) -> list[ImageQuality]:
    """One line a row, from the features of its prompt and of its images."""
    nothing: list[float | None] = [None] * len(rows)
    before = nothing if original is None else _rounded(clip_scores(original, texts))
    alike = nothing if original is None else _rounded(100 * similarities(original, erased))
    after = _rounded(clip_scores(erased, texts))
    return [
        ImageQuality(row.id, row.prompt, b, a, s)
        for row, b, a, s in zip(rows, before, after, alike, strict=True)
    ]


def worst_images(images: Iterable[ImageQuality], count: int) -> list[ImageQuality]:
    """Those least like the original's, the worst first; without one, least like their prompts."""

    def badness(image: ImageQuality) -> tuple[float, str]:
        alike = image.similarity
        return (image.clip_score_erased if alike is None else alike, image.id)

    return sorted(images, key=badness)[:count]


def image_lines(images: Iterable[ImageQuality]) -> str:
    """The text of `similarities.jsonl`: a line an image."""
    return "".join(json.dumps(asdict(image), ensure_ascii=False) + "\n" for image in images)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DECIMALS) for value in values.tolist()]
