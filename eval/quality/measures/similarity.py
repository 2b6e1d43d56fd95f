"""Similarity: 100 x cosine of the two images of a prompt, its mean; 100 where nothing changed."""

from eval.metrics.distances import mean
from eval.metrics.schema import Metric
from eval.quality.measures.measure import Line, Measure, Sight


def _similarity(sight: Sight, _: str) -> Metric:
    return mean([image.similarity for image in sight.images if image.similarity is not None])


SIMILARITY = Measure(
    "similarity", better="higher", digits=2, change=Line("similarity to original", _similarity)
)
