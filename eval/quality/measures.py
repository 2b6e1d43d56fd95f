"""Pure arithmetic of `evaluate quality`: from CLIP features to scores and distances; no torch."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from eval.metrics.distances import clip_scores, cmmd, frechet, kid, mean, similarities
from eval.metrics.schema import Metric
from eval.quality.results import QualityChange, QualityScores
from plumbing.errors import UsageError
from prompts.evaluation_rows import PromptRow

Features = NDArray[np.float32]

FEW = 100
"""Images below which a note says how little the numbers rest on."""
INCEPTION_WIDTH = 2048
"""Length of the features that an FID is a distance of."""
DECIMALS = 6
"""To which `similarities.jsonl` is rounded; the means are of the rounded values, so recountable."""


@dataclass(frozen=True)
class ImageQuality:
    """One line of `similarities.jsonl`: a prompt and its image by each model."""

    id: str
    prompt: str
    clip_score_original: float | None
    """100 x cosine of image and prompt; None without an original."""
    clip_score_erased: float
    similarity: float | None
    """100 x cosine of the two images; None without an original."""


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


def score_model(
    values: Iterable[float | None], features: Features, real: Features | None
) -> QualityScores:
    """One model by itself, from its images' CLIP scores and, if there are any, real images."""
    own = mean([value for value in values if value is not None])
    if real is None:
        return QualityScores(clip_score=own)
    return QualityScores(own, *_distances(features, real, paired=False))


def score_change(
    images: Sequence[ImageQuality], original: Features, erased: Features
) -> QualityChange:
    """The erased model's images against the original's of the same prompts and seeds."""
    moved = [
        image.clip_score_erased - image.clip_score_original
        for image in images
        if image.clip_score_original is not None
    ]
    alike = [image.similarity for image in images if image.similarity is not None]
    return QualityChange(mean(moved), mean(alike), *_distances(erased, original, paired=True))


def frechet_needs(width: int) -> int:
    """Images a set that a Frechet distance of features of this width needs."""
    return 2 * width


def require_for_fid(prompts: int, real: int | None, *, original: bool) -> None:
    """UsageError unless there are two sets of images to compare, each large enough for an FID."""
    if real is None and not original:
        raise UsageError("--fid: there is nothing to compare with; give --baseline or --real")
    needed = frechet_needs(INCEPTION_WIDTH)
    rule = f"--fid: needs {needed} images or more a set, twice the length of the Inception features"
    if prompts < needed:
        raise UsageError(
            f"{rule}, but {prompts} prompts are to be drawn; raise --images to {needed} and give "
            "as many in --prompts FILE"
        )
    if real is not None and real < needed:
        raise UsageError(f"{rule}, but --real holds {real}; add some, or leave --real out")


def fid_distances(seen: Mapping[str, Features]) -> dict[str, Metric]:
    """FIDs from the Inception features of `erased` and, where they are there, `original`, `real`.

    `change` is the erased model's to the original, those named as a model its own to real images.
    """
    found = {}
    if "original" in seen:
        found["change"] = frechet(seen["erased"], seen["original"], paired=True)
    for model in ("original", "erased"):
        if "real" in seen and model in seen:
            found[model] = frechet(seen[model], seen["real"], paired=False)
    return found


def image_lines(images: Iterable[ImageQuality]) -> str:
    """The text of `similarities.jsonl`: a line an image."""
    return "".join(json.dumps(asdict(image), ensure_ascii=False) + "\n" for image in images)


def _distances(x: Features, y: Features, *, paired: bool) -> tuple[Metric, Metric, Metric | None]:
    """CMMD, KID and, where the images are enough for it, the Frechet distance."""
    width = x.shape[1]
    # KID's kernel is made for features of this length, and all but linear on unit vectors.
    scale = math.sqrt(width)
    enough = min(len(x), len(y)) >= frechet_needs(width)
    return (
        cmmd(x, y, paired=paired),
        kid(scale * x, scale * y, paired=paired),
        frechet(x, y, paired=paired) if enough else None,
    )


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, DECIMALS) for value in values.tolist()]
