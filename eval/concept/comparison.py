"""A concept's figures beside those of other runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eval.concept.results import ConceptEvaluation
from eval.concept.substitute import counted
from eval.concept.tables import METRICS
from eval.kind.comparison import Cell, Column, Comparison, Setting, drawn_settings, metric_cell
from eval.metrics.schema import Metric
from prompts.evaluation_rows import protocol_of

RETENTION = ("ira", "cra", "near")
"""What retention is the mean of, as far as all runs of a comparison have it."""


def kept_rates(evaluation: ConceptEvaluation) -> dict[str, Metric]:
    """The erased model's rates of what was to be kept, by name, as far as they were measured."""
    found = {name: getattr(evaluation.erased, name) for name in RETENTION}
    return {name: metric for name, metric in found.items() if metric}


def _columns(evaluations: Sequence[ConceptEvaluation]) -> list[Column]:
    return [Column(name, partial(_cell, name), "higher") for name in METRICS]


def _cell(name: str, evaluation: ConceptEvaluation) -> Cell:
    missing = {"near": _no_near, "substitute": _no_substitute}.get(name, _reason)
    return metric_cell(getattr(evaluation.erased, name), **missing(evaluation, name))


def _reason(evaluation: ConceptEvaluation, name: str) -> dict[str, Any]:
    return {"why": evaluation.notes.get(name, "not measured")}


def _no_near(evaluation: ConceptEvaluation, name: str) -> dict[str, Any]:
    """The demo's protocol has none, and those of older versions."""
    if evaluation.erased.ira is None:
        return _reason(evaluation, "ira")
    demo = protocol_of(evaluation.protocol.name) == "demo"
    protocol = {"protocol": "bench"} if demo else {}
    why = "the demo protocol does not draw it" if demo else "an older protocol did not draw it"
    return {"why": why, "flags": {**protocol, "overwrite": True}}


def _no_substitute(evaluation: ConceptEvaluation, name: str) -> dict[str, Any]:
    if counted(evaluation):
        return _reason(evaluation, name)
    return {"why": "an older version did not count it; nothing is drawn anew", "flags": {}}


def _settings(evaluation: ConceptEvaluation) -> Mapping[str, Setting]:
    protocol = evaluation.protocol
    drawn = drawn_settings(protocol, evaluation.judges)
    return {"protocol": protocol.name, **drawn, "prompts": protocol.rows_sha256[:12]}


COMPARISON = Comparison(_columns, _settings)
