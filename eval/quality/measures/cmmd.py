"""CMMD of CLIP features."""

from eval.metrics.distances import cmmd
from eval.quality.measures.distance import distance_measure

CMMD = distance_measure("cmmd", "CMMD", 2, cmmd)
