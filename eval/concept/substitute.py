"""What is drawn instead of the concept: a thing that the judge is sure of, or a blob?"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from eval.concept.results import ConceptEvaluation
from eval.concept.scores import Judgement, read_judgements
from eval.judges.judge import Judge
from eval.metrics.rates import most_reach, rate
from eval.metrics.schema import Metric, write_evaluation

NAME = "substitute"
"""Of the metric, and of the note that says why it is missing."""
_NONE_RIGHT = "the judge recognises none of the original's own images"


def sure_from(judgements: Collection[Judgement]) -> dict[str, float]:
    """By judge (its domain), the highest score that nine tenths of the original's images reach.

    The images are the original's of the splits `forget` and `retain` in which the judge names what
    was asked for; `near` would count the concept's neighbours twice. A judge that names none of
    them right is left out.
    """
    right = [
        j for j in judgements if j.model == "original" and j.split in ("forget", "retain") and j.hit
    ]
    found = {d: most_reach(j.score for j in right if j.domain == d) for d in ("object", "style")}
    return {domain: bar for domain, bar in found.items() if bar is not None}


def substituted(
    judgements: Collection[Judgement], model: str, sure: Mapping[str, float]
) -> Metric | None:
    """Share of a model's forget images that the judge names as something else, and is sure of.

    `sure` is of `sure_from`. None if it lacks a judge of the forget prompts, or there are none.
    Where ua is high and this is low, the concept gave way to blobs.
    """
    forget = [j for j in judgements if j.model == model and j.split == "forget"]
    if not {j.domain for j in forget} <= sure.keys():
        return None
    return rate(not j.hit and j.score >= sure[j.domain] for j in forget)


def why_none(judges: Collection[Judge], *, original: bool) -> dict[str, str]:
    """The note on why `substitute` cannot be measured with these judges of the forget prompts."""
    if not original:
        return {NAME: "how sure the judge is of right images is learned from the original's"}
    if any(judge.means_concept for judge in judges):
        return {NAME: "the judge tells the concept from the rest, and names nothing else"}
    return {}


def with_substitute(
    evaluation: ConceptEvaluation, judgements: Collection[Judgement]
) -> ConceptEvaluation:
    """The evaluation with `substitute` counted from its judgements, or a note on why not."""
    original, notes = evaluation.original, evaluation.notes
    if NAME in notes:
        return evaluation
    sure = sure_from(judgements)
    after = substituted(judgements, "erased", sure)
    if original is None or after is None:
        return replace(evaluation, notes=notes | {NAME: _NONE_RIGHT})
    before = substituted(judgements, "original", sure)
    return replace(
        evaluation,
        original=replace(original, substitute=before),
        erased=replace(evaluation.erased, substitute=after),
        sure=sure,
    )


def counted(evaluation: ConceptEvaluation) -> bool:
    """Whether `substitute` is there, or a reason why not: older versions have neither."""
    return evaluation.erased.substitute is not None or NAME in evaluation.notes


def recount(file: Path, evaluation: ConceptEvaluation, notes: Mapping[str, str]) -> None:
    """Add `substitute` to the file of an older version, if its judgements are all there.

    `notes` are those that the evaluation would have today.
    """
    problems: list[str] = []
    judgements = read_judgements(file.parent, problems)
    told = {NAME: notes[NAME]} if NAME in notes else {}
    images = len(evaluation.models) * sum(evaluation.protocol.images.values())
    if told or (not problems and len(judgements) == images):
        evaluation = replace(evaluation, notes=evaluation.notes | told)
        write_evaluation(file, with_substitute(evaluation, judgements))
