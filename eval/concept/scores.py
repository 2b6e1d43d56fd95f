"""ua, ira, cra and near of judged images; `substitute` is in a file of its own."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from eval.concept.results import ConceptScores
from eval.kind.rows import parsed
from eval.metrics.rates import rate
from eval.metrics.schema import Metric
from plumbing.record import Finite, parse_record

JUDGEMENTS = "judgements.jsonl"


@dataclass(frozen=True)
class Judgement:
    """One line of `judgements.jsonl`: what the judge sees in one image."""

    id: str
    model: Literal["original", "erased"]
    split: str
    """`forget`, `retain`, `cross` or `near`."""
    domain: Literal["object", "style"]
    """Which judge was asked."""
    expected: tuple[str, ...]
    """The labels that count as what the prompt asked for; in `forget`, as the erased concept."""
    label: str
    score: Finite
    """The judge's probability of its label."""

    @property
    def hit(self) -> bool:
        """Whether the judge names what was asked for."""
        return self.label in self.expected


def read_judgements(place: Path, problems: list[str]) -> tuple[Judgement, ...]:
    """The lines of an evaluation's `judgements.jsonl`; `problems` says which are broken."""
    return tuple(parsed(place / JUDGEMENTS, partial(parse_record, Judgement), problems))


def unlearning_accuracy(judgements: Collection[Judgement]) -> Metric | None:
    """UA: share of the forget prompts whose image the judge no longer calls the concept."""
    return rate(not j.hit for j in judgements if j.split == "forget")


def retain_accuracy(judgements: Collection[Judgement], split: str) -> Metric | None:
    """Share of a split's images in which the judge names what was asked for.

    IRA on the split `retain` (the concept's own domain), CRA on `cross` (the other domain), `near`
    on the split of that name.
    """
    return rate(j.hit for j in judgements if j.split == split)


def score(judgements: Collection[Judgement], model: str) -> ConceptScores:
    """UA, IRA, CRA and near of one model, `original` or `erased`."""
    own = [j for j in judgements if j.model == model]
    return ConceptScores(
        ua=unlearning_accuracy(own),
        ira=retain_accuracy(own, "retain"),
        cra=retain_accuracy(own, "cross"),
        near=retain_accuracy(own, "near"),
    )
