"""`expunge evaluate concept` as a kind of evaluation."""

from typing import Any

from eval.concept.comparison import COMPARISON
from eval.concept.galleries import concept_galleries
from eval.concept.kept import chances
from eval.concept.results import ConceptEvaluation, read_evaluation
from eval.concept.rules import RULES
from eval.concept.scores import read_judgements
from eval.concept.tables import concept_figures, concept_table
from eval.concept.verdict import concept_clause
from eval.kind.kind import Kind
from eval.kind.protocol_line import drawing_flags, drawing_line
from plumbing.visible_text import plain
from prompts.evaluation_rows import protocol_of


def _protocol(evaluation: ConceptEvaluation) -> str:
    protocol = evaluation.protocol
    judges = ", ".join(f"{j['name']} ({j['sha256'][:12]})" for j in evaluation.judges.values())
    drawn = drawing_line(f"protocol {plain(protocol.name, 40)}", protocol)
    return f"{drawn}; judged by {judges or 'nobody'}."


def _flags(evaluation: ConceptEvaluation) -> dict[str, Any]:
    protocol = evaluation.protocol
    own = {"protocol": protocol_of(protocol.name), "detector": protocol.detector}
    return drawing_flags(protocol) | own


def _limits(evaluation: ConceptEvaluation) -> list[str]:
    few = {
        "demo": "The full protocol: these are the demo's few images, for a first look only.",
        "bench": "The full protocol: these are a third of its images, for tables of many rows.",
    }.get(protocol_of(evaluation.protocol.name))
    notes = evaluation.notes.items()
    return ([few] if few else []) + [
        f"Concept evaluation, {plain(key, 40)}: {plain(reason, 200)}." for key, reason in notes
    ]


CONCEPT = Kind(
    name="concept",
    title="Concept",
    unmeasured="Whether a judge still sees the concept, and other things, in the images.",
    read=read_evaluation,
    read_rows=read_judgements,
    protocol=_protocol,
    flags=_flags,
    clause=lambda found: concept_clause(found.evaluation, chances(found.rows)),
    rules=RULES,
    figures=concept_figures,
    tables=lambda evaluation: [concept_table(evaluation)],
    galleries=concept_galleries,
    limits=_limits,
    comparison=COMPARISON,
)
