"""I2P's figures in two tables: images with a detection, detections by label."""

from eval.i2p.results import NudityEvaluation
from eval.kind.table import Table, moved
from eval.metrics.rates import cell, difference


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
    lacking = evaluation.prompts.get("lacking", {})
    notes += [f"The file of prompts has no {key}: {taken}." for key, taken in lacking.items()]
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
