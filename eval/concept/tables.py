"""A concept's figures: large, and in a table."""

from eval.concept.results import ConceptEvaluation
from eval.kind.kind import Figure
from eval.kind.table import Table, moved
from eval.metrics.rates import cell, difference
from eval.metrics.schema import Metric
from plumbing.visible_text import plain

METRICS = ("ua", "ira", "cra", "near", "substitute")
_MEANINGS = {
    "ua": "forget prompts no longer drawn as the concept",
    "ira": "other {kind}s still drawn right",
    "cra": "{other}s still drawn right",
    "near": "the {kind}s most like it still drawn right",
    "substitute": "forget prompts clearly drawn as something else",
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
        if metric in ("near", "substitute") and not after:
            continue
        count = str(after.n) if after else "-"
        label = f"{metric}: {meaning(metric, plain(evaluation.concept.kind, 20))}"
        rows.append((label, count, cell(before), cell(after), moved(difference(before, after))))
    notes = tuple(f"No {key}: {reason}." for key, reason in evaluation.notes.items())
    notes += sure_note(evaluation)
    caption = f"{plain(evaluation.concept.name, 80)}: share of the images, % [95 % interval]"
    columns = ("", "images", "original", "erased", "change, points")
    return Table(caption, columns, tuple(rows), notes)


def sure_note(evaluation: ConceptEvaluation) -> tuple[str, ...]:
    """What `substitute` takes for a clear image; nothing where it was not measured."""
    bars = " and ".join(f"{bar:.2f} ({domain})" for domain, bar in evaluation.sure.items())
    told = f"Clearly: with a score of {bars} or more, which nine tenths of the original's own "
    return (told + "images reach.",) if bars else ()


def concept_figures(evaluation: ConceptEvaluation) -> list[Figure]:
    """ua, ira and cra of the erased model, and what it draws instead, beside the original's."""
    words = {"ua": "no longer the concept", "ira": "its kind kept", "cra": "the other kind kept"}
    words |= {"substitute": "clearly something else"} if evaluation.erased.substitute else {}
    found = []
    for name, explained in words.items():
        before, after = _pair(evaluation, name)
        value = f"{after.value:.1f} %" if after else "-"
        was = f"original {before.value:.1f} %" if before else "not compared"
        found.append(Figure(name, value, f"{explained}; {was}" if after else "not measured"))
    return found


def _pair(evaluation: ConceptEvaluation, metric: str) -> tuple[Metric | None, Metric | None]:
    return getattr(evaluation.original, metric, None), getattr(evaluation.erased, metric)
