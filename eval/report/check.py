"""Are the values of an evaluation what its schema says? A verdict on NaN would be luck."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from eval.kind.kind import Kind
from eval.kind.measurement import Evaluation
from eval.kind.rows import is_number
from eval.metrics.schema import Metric
from plumbing.errors import UsageError

_TEXTS = ("clip", "detector", "inception", "notes", "versions", "deviations", "assumed")
_NAMED = ("models", "judges")


def check_evaluation(file: Path, kind: Kind, evaluation: Evaluation) -> None:
    """Refuse an evaluation whose values a report could not tell rightly: a UsageError."""
    for problem in chain(_problems(evaluation), kind.problems(evaluation)):
        raise UsageError(f"{file} is not a readable evaluation: {problem}")


def _problems(evaluation: Evaluation) -> Iterator[str]:
    for metric in _metrics(evaluation):
        if not all(map(is_number, (metric.value, metric.n, *metric.ci95))):
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
    if not all(map(is_number, counts)):
        yield "the number of images is none"
    if evaluation.control and not is_number(evaluation.control.images):
        yield "the number of control images is none"


def _metrics(value: Any) -> Iterator[Metric]:
    if isinstance(value, Metric):
        yield value
    elif isinstance(value, tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _metrics(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _metrics(getattr(value, field.name))


def _is_text(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
