"""The Frechet distance of CLIP features, where the images are enough for it."""

from eval.metrics.distances import frechet
from eval.metrics.schema import Metric
from eval.quality.measures.distance import distance_measure, frechet_needs
from eval.quality.measures.measure import Features, Plan


def _frechet(x: Features, y: Features, *, paired: bool) -> Metric | None:
    enough = min(len(x), len(y)) >= frechet_needs(x.shape[1])
    return frechet(x, y, paired=paired) if enough else None


def _note(plan: Plan) -> str:
    needed = frechet_needs(plan.clip_width)
    if not plan.compared or plan.fewest >= needed:
        return ""
    return (
        f"left out where a set has fewer than {needed} images, twice the width of the CLIP features"
    )


FRECHET = distance_measure("frechet", "Frechet distance", 4, _frechet, note=_note)
