"""`expunge evaluate concept`: the same prompts and seeds, the original beside the erased model."""

from pathlib import Path
from typing import Any

from eval.concept.evaluate import EVALUATION, GRID
from eval.concept.results import ConceptEvaluation
from eval.concept.tables import METRICS, meaning, sure_note
from eval.control.control_table import control_lines
from eval.metrics.rates import cell, change
from expunge.commands.printed import show
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept


def run_concept(settings: EvaluateConcept) -> dict[str, Any] | None:
    """Measure, then print a table (or one JSON object); returns evaluation.json's content."""
    return show(evaluate_concept(settings), settings.json, _text)


def _text(evaluation: ConceptEvaluation, out: Path) -> str:
    return f"{table(evaluation)}\n\nfigures: {out / EVALUATION}\npicture: {out / GRID}"


def table(evaluation: ConceptEvaluation) -> str:
    """The metrics, original and erased side by side with their 95 % intervals."""
    images = sum(evaluation.protocol.images.values())
    name = evaluation.protocol.name
    lines = [
        f"{evaluation.concept.name}: {name} protocol, {images} images a model, "
        "the same prompts and seeds; in %, [95 % interval]",
        f"{'':58}{'original':>22}{'erased':>22}{'change':>9}",
    ]
    for metric in METRICS:
        before = getattr(evaluation.original, metric, None)
        after = getattr(evaluation.erased, metric)
        difference = change(before, after)
        label = f"{metric:11}{meaning(metric, evaluation.concept.kind)}"
        moved = "" if difference is None else f"{difference:+.1f}"
        lines.append(f"{label:58}{cell(before):>22}{cell(after):>22}{moved:>9}".rstrip())
    lines += [f"note: no {key}: {reason}" for key, reason in evaluation.notes.items()]
    lines += [f"note: {told[0].lower()}{told[1:].rstrip('.')}" for told in sure_note(evaluation)]
    return "\n".join([*lines, *control_lines(evaluation)])
