"""The measures there are, in the order in which results and tables have them."""

from eval.quality.measures.clip_score import CLIP_SCORE
from eval.quality.measures.cmmd import CMMD
from eval.quality.measures.fid import FID
from eval.quality.measures.frechet import FRECHET
from eval.quality.measures.kid import KID
from eval.quality.measures.measure import Measure
from eval.quality.measures.similarity import SIMILARITY

MEASURES: tuple[Measure, ...] = (CLIP_SCORE, SIMILARITY, CMMD, KID, FRECHET, FID)
