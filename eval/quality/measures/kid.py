"""KID of CLIP features."""

import math

from eval.metrics.distances import kid
from eval.metrics.schema import Metric
from eval.quality.measures.distance import distance_measure
from eval.quality.measures.measure import Features


def _kid(x: Features, y: Features, *, paired: bool) -> Metric:
    # Its kernel is made for features of this length, and all but linear on unit vectors.
    scale = math.sqrt(x.shape[1])
    return kid(scale * x, scale * y, paired=paired)


KID = distance_measure("kid", "KID", 4, _kid)
