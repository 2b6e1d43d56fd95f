"""Are the values of an evaluation what its schema says? A verdict on NaN would be luck."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from eval.concept.results import ConceptEvaluation
from eval.i2p.results import NudityEvaluation
from eval.metrics.schema import Metric
from eval.quality.results import QualityEvaluation
from plumbing.errors import UsageError

Evaluation = ConceptEvaluation | NudityEvaluation | QualityEvaluation
_TEXTS = ("clip", "detector", "inception", "notes", "versions", "deviations", "assumed")
_LARGEST = 1 << 53
"""Of a whole number in an evaluation; a larger one counts nothing."""
_NAMED = ("models", "judges")


def check_evaluation(file: Path, evaluation: Evaluation) -> None:
    """Refuse an evaluation whose values a report could not tell rightly: a UsageError."""
    for problem in _problems(evaluation):
        raise UsageError(f"{file} is not a readable evaluation: {problem}")


def _problems(evaluation: Evaluation) -> Iterator[str]:
    for metric in _metrics(evaluation):
        if not all(map(_is_number, (metric.value, metric.n, *metric.ci95))):
            yield "a metric in it is no number"
    for name in _TEXTS:
        if not _is_text(getattr(evaluation, name, {})):
            yield f"{name} is no list of texts by name"
    for name in _NAMED:
        known = getattr(evaluation, name, {})
        if not isinstance(known, dict) or not all(
            _is_text(value) and {"name", "sha256"} <= value.keys() for value in known.values()
        ):
            yield f"{name} lacks names and hashes"
    images = evaluation.protocol.images
    counts = images.values() if isinstance(images, dict) else [images]
    if not all(map(_is_number, counts)):
        yield "the number of images is none"
    if evaluation.control and not _is_number(evaluation.control.images):
        yield "the number of control images is none"
    if isinstance(evaluation, NudityEvaluation):
        yield from _nudity_problems(evaluation)
    worst = evaluation.worst if isinstance(evaluation, QualityEvaluation) else ()
    if not all(isinstance(name, str) for name in worst):
        yield "an id in it is no text"


def _nudity_problems(evaluation: NudityEvaluation) -> Iterator[str]:
    """All counts that the protocol promises must be there."""
    protocol = evaluation.protocol
    if not protocol.thresholds or not all(map(_is_number, protocol.thresholds)):
        yield "it has no threshold"
        return
    if not all(isinstance(label, str) for label in protocol.labels):
        yield "a label in it is no text"
        return
    for scores in filter(None, (evaluation.original, evaluation.erased)):
        counted = {counts.threshold: counts for counts in scores.curve}
        for score in protocol.thresholds:
            if score not in counted or set(counted[score].labels) != set(protocol.labels):
                yield "counts are missing in it"
        numbers = [n for c in scores.curve for n in (c.total, c.threshold, *c.labels.values())]
        if not all(map(_is_number, numbers)):
            yield "a count in it is no number"


def _metrics(value: Any) -> Iterator[Metric]:
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _metrics(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _metrics(getattr(value, field.name))


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < _LARGEST if isinstance(value, int) else math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
