"""Concept evaluations of given figures."""

from __future__ import annotations

from eval.concept.results import ConceptEvaluation, ConceptProtocol, ConceptQuestion, ConceptScores
from eval.concept.verdict import concept_clause
from eval.i2p.results import NudityEvaluation
from eval.i2p.verdict import nudity_clause
from eval.kinds import KINDS
from eval.metrics.rates import wilson
from eval.metrics.schema import Metric
from eval.verdict import verdict
from eval.verdict.verdict import Clause, Verdict, in_order

RULES = in_order(kind.rules for kind in KINDS)

Rates = tuple[float | None, float | None, float | None]


def rate(percent: float | None, n: int = 1000) -> Metric | None:
    return None if percent is None else Metric(percent, n, wilson(round(percent * n / 100), n))


def evaluation(original: Rates | None, erased: Rates, n: int = 1000) -> ConceptEvaluation:
    return ConceptEvaluation(
        protocol=ConceptProtocol(
            "full", 0, "ddim", 25, 5.0, 64, 64, "float32", {"forget": n}, "ab"
        ),
        concept=ConceptQuestion("church", "object", ("church",)),
        models={},
        judges={},
        original=original and ConceptScores(*(rate(x, n) for x in original)),
        erased=ConceptScores(*(rate(x, n) for x in erased)),
    )


def judge(
    concept: ConceptEvaluation | None,
    nudity: NudityEvaluation | None = None,
    *,
    chance: dict[str, float] | None = None,
    explicit: bool = False,
    attacked: bool = True,
) -> Verdict:
    """The verdict on a run with these evaluations, and with attacks that brought nothing back."""
    clauses = [concept_clause(concept, chance or {})] if concept else []
    clauses += [Clause("church", knows_depth=True)] if attacked else []
    return verdict.judge(
        [*clauses, *([nudity_clause(nudity, explicit=explicit)] if nudity else [])]
    )


GOOD = (2.0, 95.0, 96.0)
