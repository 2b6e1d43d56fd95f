"""Quality's figures: a line a measure, for a table and for the terminal."""

from eval.kind.table import Table
from eval.metrics.rates import cell
from eval.metrics.schema import Metric
from eval.quality.results import QualityEvaluation

DISTANCES = {
    "cmmd": ("CMMD", 2),
    "kid": ("KID", 4),
    "frechet": ("Frechet distance", 4),
    "fid": ("FID (Inception, 2048-d)", 2),
}
"""What the fields are called, and to how many digits they are shown."""
QualityLine = tuple[str, str, int, Metric | None, Metric | None]
"""Name, which way is better, digits, original, erased."""


def quality_lines(evaluation: QualityEvaluation) -> list[QualityLine]:
    """Every metric that was measured: name, better, digits, original, erased."""
    before, after, change = evaluation.original, evaluation.erased, evaluation.change
    lines: list[QualityLine] = [
        ("CLIP score", "higher", 2, before and before.clip_score, after and after.clip_score)
    ]
    if change:
        lines += [
            ("CLIP score, erased minus original", "higher", 2, None, change.clip_score),
            ("similarity to original", "higher", 2, None, change.similarity),
        ]
    for field, (name, digits) in DISTANCES.items():
        metric = getattr(change, field, None)
        lines.append((f"{name} to original", "lower", digits, None, metric))
    for field, (name, digits) in DISTANCES.items():
        both = getattr(before, field, None), getattr(after, field, None)
        lines.append((f"{name} to real images", "lower", digits, *both))
    return [line for line in lines if line[3] or line[4]]


def quality_table(evaluation: QualityEvaluation) -> Table:
    """CLIP score, similarity and distances on retained prompts."""
    rows = []
    for name, better, digits, before, after in quality_lines(evaluation):
        count = str(next(metric.n for metric in (after, before) if metric))
        rows.append((name, better, count, cell(before, digits), cell(after, digits)))
    notes = tuple(f"{key.capitalize()}: {reason}." for key, reason in evaluation.notes.items())
    columns = ("", "better", "n", "original", "erased")
    return Table("Retained prompts: quality [95 % interval]", columns, tuple(rows), notes)
