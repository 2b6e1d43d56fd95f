"""The report's tables as plain text, shared by the page, the Markdown and the command line."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.concept.results import ConceptEvaluation
from eval.control.collapse import usable
from eval.i2p.results import NudityEvaluation
from eval.metrics.rates import Difference, cell, difference
from eval.metrics.schema import Metric
from eval.quality.results import QualityEvaluation
from eval.report.data import RunData
from eval.verdict.rules import Verdict
from plumbing.visible_text import plain

METRICS = ("ua", "ira", "cra")
_MEANINGS = {
    "ua": "forget prompts no longer drawn as the concept",
    "ira": "other {kind}s still drawn right",
    "cra": "{other}s still drawn right",
}
DISTANCES = {
    "cmmd": ("CMMD", 2),
    "kid": ("KID", 4),
    "frechet": ("Frechet distance", 4),
    "fid": ("FID (Inception, 2048-d)", 2),
}
"""What the fields are called, and to how many digits they are shown."""
Evaluation = ConceptEvaluation | NudityEvaluation | QualityEvaluation
QualityLine = tuple[str, str, int, Metric | None, Metric | None]
"""Name, which way is better, digits, original, erased."""


@dataclass(frozen=True)
class Table:
    """Rows whose first cell names them."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def meaning(metric: str, kind: str) -> str:
    """What `ua`, `ira` or `cra` is the share of, for a concept of that kind."""
    other = {"object": "style", "style": "object"}.get(kind, "other domain")
    return _MEANINGS[metric].format(kind=kind, other=other)


def concept_table(evaluation: ConceptEvaluation) -> Table:
    """The three metrics, original and erased side by side, and the change."""
    rows = []
    for metric in METRICS:
        before = getattr(evaluation.original, metric, None)
        after = getattr(evaluation.erased, metric)
        count = str(after.n) if after else "-"
        label = f"{metric}: {meaning(metric, plain(evaluation.concept.kind, 20))}"
        rows.append((label, count, cell(before), cell(after), moved(difference(before, after))))
    notes = tuple(f"No {key}: {reason}." for key, reason in evaluation.notes.items())
    caption = f"{plain(evaluation.concept.name, 80)}: share of the images, % [95 % interval]"
    columns = ("", "images", "original", "erased", "change, points")
    return Table(caption, columns, tuple(rows), notes)


def moved(change: Difference | None) -> str:
    """A change as `+1.2 [-0.3, +2.7]`, or a dash."""
    if change is None:
        return "-"
    low, high = change.ci95
    return f"{change.value:+.1f} [{low:+.1f}, {high:+.1f}]"


def nudity_tables(evaluation: NudityEvaluation) -> list[Table]:
    """Images with a detection and detections a label, at the headline scores."""
    protocol, models = evaluation.protocol, (evaluation.original, evaluation.erased)
    shares = []
    for score in protocol.thresholds:
        before, after = (scores.at(score).any if scores else None for scores in models)
        count = str(after.n) if after else "-"
        change = moved(difference(before, after))
        shares.append((f"score from {score:g}", count, cell(before), cell(after), change))
    notes = [f"Not as {protocol.name} has it: {k}: {v}." for k, v in evaluation.deviations.items()]
    notes += [f"Assumed: {key}: {value}." for key, value in evaluation.assumed.items()]
    notes += [f"Not comparable with published counts: {why}." for why in evaluation.obstacles]
    notes += [f"No {key}: {reason}." for key, reason in evaluation.notes.items()]
    share = Table(
        "I2P: images with at least one counted detection, % [95 % interval]",
        ("", "images", "original", "erased", "change, points"),
        tuple(shares),
        tuple(notes),
    )
    heads = [
        f"{model} ≥ {score:g}" for score in protocol.thresholds for model in ("orig.", "erased")
    ]
    rows = [
        (label.lower().replace("_", " "), *_numbers(evaluation, label))
        for label in (*protocol.labels, "total")
    ]
    counts = Table("I2P: detections by label and score", ("", *heads), tuple(rows))
    return [share, counts]


def _numbers(evaluation: NudityEvaluation, label: str) -> list[str]:
    found = []
    for score in evaluation.protocol.thresholds:
        for scores in (evaluation.original, evaluation.erased):
            counts = scores.at(score) if scores else None
            number = counts and (counts.total if label == "total" else counts.labels[label])
            found.append("-" if number is None else f"{number:,}")
    return found


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


def control_table(kind: str, evaluation: Evaluation) -> Table | None:
    """Whether the models draw anything at all, by control images; None without any."""
    control = evaluation.control
    if control is None:
        return None
    names = {
        "flat": "one flat colour, % of the images",
        "variety": "distance between images, % of the range of colours",
        "own": "nearer to the original's image of their own prompt, % (chance: 50)",
    }
    sides = (control.original, control.erased)
    rows = [(text, *(cell(getattr(s, key, None)) for s in sides)) for key, text in names.items()]
    notes = () if usable(control) else ("The original's own images are all alike: no comparison.",)
    caption = (
        f"{kind}: {control.images} control images of other things, drawn from one noise, not "
        "judged [95 % interval]"
    )
    return Table(caption, ("", "original", "erased"), tuple(rows), notes)


def control_lines(evaluation: Evaluation) -> list[str]:
    """The same below a printed table, and in any case whether the model has collapsed."""
    table, lines = control_table("control", evaluation), []
    if table:
        rows = [("", *table.columns[1:]), *table.rows]
        lines = ["", table.caption]
        lines += [f"{name:67}{before:>22}{after:>22}" for name, before, after in rows]
        lines += [f"note: {note}" for note in table.notes]
    if evaluation.collapsed:
        lines += ["", f"COLLAPSED: the erased model is broken: {'; '.join(evaluation.collapsed)}"]
    return lines


def control_tables(data: RunData) -> list[Table]:
    """Those of all evaluations of a run."""
    kinds = {"Concept": data.concept, "I2P": data.nudity, "Quality": data.quality}
    found = (control_table(kind, known) for kind, known in kinds.items() if known)
    return [table for table in found if table]


def tables(data: RunData) -> list[Table]:
    """All tables of results that a run has."""
    found = [concept_table(data.concept)] if data.concept else []
    found += nudity_tables(data.nudity) if data.nudity else []
    found += [quality_table(data.quality)] if data.quality else []
    return found + control_tables(data)


def comparison_table(runs: Sequence[RunData], verdicts: Sequence[Verdict]) -> Table:
    """Several runs side by side, a row a run."""
    columns = ("run", "concept", "verdict", *METRICS, "ira change", "cra change", "density", "time")
    rows = []
    for number, (data, verdict) in enumerate(zip(runs, verdicts, strict=True), 1):
        erased = data.concept.erased if data.concept else None
        original = data.concept.original if data.concept else None
        rates = {m: (getattr(original, m, None), getattr(erased, m, None)) for m in METRICS}
        rows.append(
            (
                f"{number}. {plain(data.run.name, 60)}",
                plain(data.run.concept, 60),
                verdict.word,
                *(cell(after) for _, after in rates.values()),
                *(moved(difference(*rates[metric])) for metric in ("ira", "cra")),
                _density(data),
                _time(data),
            )
        )
    caption = "Runs side by side: rates of the erased models, % [95 % interval]; changes in points"
    return Table(caption, columns, tuple(rows))


def _density(data: RunData) -> str:
    mask = data.run.record.get("mask")
    try:
        return f"{100 * mask['kept'] / mask['total']:.1f} %"  # type: ignore[index]
    except (KeyError, TypeError, ZeroDivisionError):
        return "-"


def _time(data: RunData) -> str:
    seconds = data.run.record.get("seconds")
    try:
        return duration(sum(seconds.values()))  # type: ignore[union-attr]
    except (AttributeError, TypeError):
        return "-"


def duration(seconds: float) -> str:
    """Seconds as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"
