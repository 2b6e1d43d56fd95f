"""A concept's figures: large, in a table, and beside those of other runs."""

from collections.abc import Sequence

from eval.concept.charts import Spot, draw_scatter
from eval.concept.results import ConceptEvaluation
from eval.kind.chart import Chart
from eval.kind.kind import Figure
from eval.kind.table import Table, moved
from eval.metrics.rates import cell, difference
from eval.metrics.schema import Metric
from plumbing.visible_text import plain

METRICS = ("ua", "ira", "cra", "near")
COLUMNS = (*METRICS, "ira change", "cra change")
_MEANINGS = {
    "ua": "forget prompts no longer drawn as the concept",
    "ira": "other {kind}s still drawn right",
    "cra": "{other}s still drawn right",
    "near": "the {kind}s most like it still drawn right",
}


def meaning(metric: str, kind: str) -> str:
    """What a metric is the share of, for a concept of that kind."""
    other = {"object": "style", "style": "object"}.get(kind, "other domain")
    return _MEANINGS[metric].format(kind=kind, other=other)


def concept_table(evaluation: ConceptEvaluation) -> Table:
    """The metrics, original and erased side by side, and the change."""
    rows = []
    for metric in METRICS:
        before, after = _pair(evaluation, metric)
        if metric == "near" and not after:
            continue
        count = str(after.n) if after else "-"
        label = f"{metric}: {meaning(metric, plain(evaluation.concept.kind, 20))}"
        rows.append((label, count, cell(before), cell(after), moved(difference(before, after))))
    notes = tuple(f"No {key}: {reason}." for key, reason in evaluation.notes.items())
    caption = f"{plain(evaluation.concept.name, 80)}: share of the images, % [95 % interval]"
    columns = ("", "images", "original", "erased", "change, points")
    return Table(caption, columns, tuple(rows), notes)


def concept_figures(evaluation: ConceptEvaluation) -> list[Figure]:
    """ua, ira and cra of the erased model, each with the original's beside it."""
    words = {"ua": "no longer the concept", "ira": "its kind kept", "cra": "the other kind kept"}
    found = []
    for name, explained in words.items():
        before, after = _pair(evaluation, name)
        value = f"{after.value:.1f} %" if after else "-"
        was = f"original {before.value:.1f} %" if before else "not compared"
        found.append(Figure(name, value, f"{explained}; {was}" if after else "not measured"))
    return found


def compared_cells(evaluation: ConceptEvaluation) -> list[str]:
    """One a column of `COLUMNS`."""
    rates = {metric: _pair(evaluation, metric) for metric in METRICS}
    changes = [moved(difference(*rates[metric])) for metric in ("ira", "cra")]
    return [*(cell(after) for _, after in rates.values()), *changes]


def compared_charts(evaluations: Sequence[tuple[int, ConceptEvaluation]]) -> list[Chart]:
    """The scatter of the runs, by number, whose `ua` was measured."""
    spots = [
        Spot(number, e.ua.value, _value(e.ira), _value(e.cra))
        for number, e in ((number, evaluation.erased) for number, evaluation in evaluations)
        if e.ua
    ]
    caption = "Erasure against what was kept: upper right is best; the numbers are the table's"
    return [Chart(caption, draw_scatter(spots))] if spots else []


def _pair(evaluation: ConceptEvaluation, metric: str) -> tuple[Metric | None, Metric | None]:
    return getattr(evaluation.original, metric, None), getattr(evaluation.erased, metric)


def _value(metric: Metric | None) -> float | None:
    return metric.value if metric else None
