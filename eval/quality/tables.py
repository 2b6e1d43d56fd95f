"""Quality's figures: a line a measure, for a table and for the terminal."""

from collections.abc import Sequence

from eval.kind.table import Table
from eval.metrics.rates import cell
from eval.metrics.schema import Metric
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Measure
from eval.quality.results import QualityEvaluation

QualityLine = tuple[str, str, int, Metric | None, Metric | None]
"""Name, which way is better, digits, original, erased."""


def quality_lines(
    evaluation: QualityEvaluation, measures: Sequence[Measure] = MEASURES
) -> list[QualityLine]:
    """Every metric that was measured: name, better, digits, original, erased."""
    before, after, change = (
        scores or {} for scores in (evaluation.original, evaluation.erased, evaluation.change)
    )
    lines: list[QualityLine] = [
        (m.alone.label, m.better, m.digits, before.get(m.name), after.get(m.name))
        for m in measures
        if m.alone
    ]
    lines += [
        (m.change.label, m.better, m.digits, None, change.get(m.name)) for m in measures if m.change
    ]
    lines += [
        (m.real.label, m.better, m.digits, before.get(m.name), after.get(m.name))
        for m in measures
        if m.real
    ]
    return [line for line in lines if line[3] or line[4]]


def quality_table(evaluation: QualityEvaluation, measures: Sequence[Measure] = MEASURES) -> Table:
    """CLIP score, similarity and distances on retained prompts."""
    rows = []
    for name, better, digits, before, after in quality_lines(evaluation, measures):
        count = str(next(metric.n for metric in (after, before) if metric))
        rows.append((name, better, count, cell(before, digits), cell(after, digits)))
    notes = tuple(f"{key.capitalize()}: {reason}." for key, reason in evaluation.notes.items())
    columns = ("", "better", "n", "original", "erased")
    return Table("Retained prompts: quality [95 % interval]", columns, tuple(rows), notes)
