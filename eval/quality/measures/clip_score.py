"""CLIP score: 100 x cosine of each image and its prompt, its mean."""

from eval.metrics.distances import mean
from eval.metrics.schema import Metric
from eval.quality.measures.measure import Line, Measure, Sight


def _score(sight: Sight, model: str) -> Metric:
    scores = [image.clip_score(model) for image in sight.images]
    return mean([score for score in scores if score is not None])


def _change(sight: Sight, _: str) -> Metric:
    pairs = [(image.clip_score_original, image.clip_score_erased) for image in sight.images]
    return mean([after - before for before, after in pairs if before is not None])


CLIP_SCORE = Measure(
    "clip_score",
    better="higher",
    digits=2,
    alone=Line("CLIP score", _score),
    change=Line("CLIP score, erased minus original", _change),
)
