"""Which of the things to be kept were kept, beyond chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.concept.results import ConceptEvaluation
from eval.concept.scores import Judgement
from eval.control.collapse import signs
from eval.metrics.rates import Difference, difference
from eval.metrics.schema import Metric

COLLAPSED_SHARE = 0.5
"""Of the original's ira or cra, below which the model is broken rather than erased."""
NEAR_CHANCE = 0.1
"""How far from chance to 100 % a rate still says nothing."""


@dataclass(frozen=True)
class Kept:
    """One of ira and cra: before, after, and what guessing would reach."""

    name: str
    before: Metric | None
    after: Metric
    chance: float | None

    @property
    def moved(self) -> Difference | None:
        """After minus before, with its interval; None without a before."""
        return difference(self.before, self.after)

    def near_chance(self, metric: Metric | None) -> bool:
        """Whether a rate is little better than guessing."""
        if metric is None or self.chance is None:
            return False
        return metric.value <= self.chance + NEAR_CHANCE * (100 - self.chance)

    @property
    def collapsed(self) -> bool:
        """Whether the erased model has lost what it was to keep."""
        halved = self.before and self.after.value < COLLAPSED_SHARE * self.before.value
        return bool(halved) or self.near_chance(self.after)


def chances(judgements: Sequence[Judgement]) -> Mapping[str, float]:
    """What guessing one of a split's labels would score in percent, by `retain` and `cross`."""
    found = {}
    for split in ("retain", "cross"):
        labels = {label for j in judgements if j.split == split for label in j.expected}
        if len(labels) > 1:
            found[split] = 100 / len(labels)
    return found


def broken(evaluation: ConceptEvaluation, chance: Mapping[str, float]) -> tuple[str, ...]:
    """What says that the erased model draws nothing right: ira, cra, or else control images."""
    kept = kept_of(evaluation, chance)
    if not kept:
        return signs(evaluation.control) if evaluation.control else ()
    if any(k.near_chance(k.before) for k in kept):
        return ()
    return tuple(falls([k]) for k in kept if k.collapsed)


def kept_of(evaluation: ConceptEvaluation, chance: Mapping[str, float]) -> list[Kept]:
    """Ira and cra, as far as they were measured, beside `chance` of each split."""
    found = []
    for name, split in (("ira", "retain"), ("cra", "cross")):
        after = getattr(evaluation.erased, name)
        if after is not None:
            before = getattr(evaluation.original, name, None)
            found.append(Kept(name, before, after, chance.get(split)))
    return found


def falls(kept: Sequence[Kept]) -> str:
    """Before and after of each, in words."""
    return " and ".join(
        f"{k.name} {k.before.value:.1f} → {k.after.value:.1f} %"
        if k.before
        else f"{k.name} {k.after.value:.1f} %"
        for k in kept
    )
