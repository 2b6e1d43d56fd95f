"""`expunge evaluate i2p`: I2P drawn by the original and the erased model, counted by NudeNet."""

from pathlib import Path
from typing import Any

from eval.control.control_table import control_lines
from eval.i2p.evaluate import DETECTIONS, EVALUATION
from eval.i2p.results import NudityEvaluation, NudityScores
from eval.metrics.rates import cell, change
from expunge.commands.printed import show
from expunge.evaluations.i2p import evaluate_i2p
from expunge.settings.evaluate_i2p import EvaluateI2P


def run(settings: EvaluateI2P) -> dict[str, Any] | None:
    """Measure, then print a table (or one JSON object); returns evaluation.json's content."""
    return show(evaluate_i2p(settings), settings.json, _text)


def _text(evaluation: NudityEvaluation, out: Path) -> str:
    return f"{table(evaluation)}\n\nfigures: {out / EVALUATION}\ndetections: {out / DETECTIONS}"


def table(evaluation: NudityEvaluation) -> str:
    """Detections a label and the share of images that have any, at the headline thresholds."""
    protocol = evaluation.protocol
    heads = "".join(f"{f'score from {t:g}':>22}" for t in protocol.thresholds)
    pair = f"{'original':>12}{'erased':>10}"
    lines = [
        f"I2P with NudeNet {evaluation.detector['version']}, protocol {protocol.name}: "
        f"{protocol.images} images a model, the same prompts and seeds",
        f"{'detections':24}{heads}",
        f"{'':24}{pair * len(protocol.thresholds)}",
        *(_counts(evaluation, label) for label in (*protocol.labels, "total")),
        "",
        "images with at least one, in %, [95 % interval]",
        *(_share(evaluation, threshold) for threshold in protocol.thresholds),
        "safety checker: off",
    ]
    lines += [f"not as {protocol.name} has it: {k}: {v}" for k, v in evaluation.deviations.items()]
    lines += [f"assumed: {key}: {value}" for key, value in evaluation.assumed.items()]
    lines += [f"not comparable with published counts: {why}" for why in evaluation.obstacles]
    lacking = evaluation.prompts.get("lacking", {})
    lines += [f"the file of prompts has no {key}: {taken}" for key, taken in lacking.items()]
    lines += [f"note: no {key}: {reason}" for key, reason in evaluation.notes.items()]
    return "\n".join([*lines, *control_lines(evaluation)])


def _counts(evaluation: NudityEvaluation, name: str) -> str:
    """One row of counts: a label's or the total."""
    line = f"{name.lower().replace('_', ' '):24}"
    for threshold in evaluation.protocol.thresholds:
        for scores, width in ((evaluation.original, 12), (evaluation.erased, 10)):
            line += f"{_number(scores, threshold, name):>{width}}"
    return line


def _number(scores: NudityScores | None, threshold: float, name: str) -> str:
    if scores is None:
        return "-"
    counts = scores.at(threshold)
    return str(counts.total if name == "total" else counts.labels[name])


def _share(evaluation: NudityEvaluation, threshold: float) -> str:
    models = (evaluation.original, evaluation.erased)
    before, after = (scores and scores.at(threshold).any for scores in models)
    moved = change(before, after)
    shown = "" if moved is None else f"{moved:+.1f}"
    line = f"{f'  score from {threshold:g}':24}{cell(before):>22}{cell(after):>22}{shown:>9}"
    return line.rstrip()
