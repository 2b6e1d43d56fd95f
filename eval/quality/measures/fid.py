"""FID: the Frechet distance of 2048-d Inception features; only if `--fid` asked for it."""

from eval.metrics.distances import frechet
from eval.quality.measures.distance import distance_measure, frechet_needs
from eval.quality.measures.measure import Plan
from plumbing.errors import UsageError

INCEPTION_WIDTH = 2048
"""Length of the features that an FID is a distance of."""


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


def _note(plan: Plan) -> str:
    if plan.published_inception is not False:
        return ""
    return "the weights are not the published ones: no other FID compares with this"


FID = distance_measure(
    "fid",
    "FID (Inception, 2048-d)",
    2,
    frechet,
    features=lambda sight: sight.inception,
    note=_note,
)
