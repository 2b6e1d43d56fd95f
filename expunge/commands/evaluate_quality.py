"""`expunge evaluate quality`: retained prompts, the original's images beside the erased model's."""

from pathlib import Path
from typing import Any

from eval.control.control_table import control_lines
from eval.metrics.rates import cell
from eval.metrics.schema import Metric
from eval.quality.evaluate import EVALUATION, SIMILARITIES, WORST
from eval.quality.results import QualityEvaluation
from eval.quality.tables import quality_lines
from expunge.commands.printed import show
from expunge.evaluations.quality import evaluate_quality
from expunge.settings.evaluate import EvaluateQuality


def run(settings: EvaluateQuality) -> dict[str, Any] | None:
    """Measure, then print a table (or one JSON object); returns evaluation.json's content."""
    return show(evaluate_quality(settings), settings.json, _text)


def _text(evaluation: QualityEvaluation, out: Path) -> str:
    return (
        f"{table(evaluation)}\n\nfigures: {out / EVALUATION}\n"
        f"images:  {out / SIMILARITIES}\npicture: {out / WORST}"
    )


def table(evaluation: QualityEvaluation) -> str:
    """A line a metric with n and 95 % intervals, and which way is better."""
    protocol, clip, inception = evaluation.protocol, evaluation.clip, evaluation.inception
    fid = (
        f", FID by Inception {inception['name']} ({inception['sha256'][:12]})" if inception else ""
    )
    erased = f"{' + '.join(evaluation.concepts)}: " if evaluation.concepts else ""
    lines = [
        f"{erased}{protocol.images} retained prompts, an image each, the same seeds for every "
        f"model; [95 % interval]\nmeasured by CLIP {clip['name']} ({clip['sha256'][:12]}){fid}",
        f"{'':39}{'':18}{'n':>5}{'original':>28}{'erased':>28}",
    ]
    lines += [_line(*line) for line in quality_lines(evaluation)]
    lines += [f"note: {key}: {reason}" for key, reason in evaluation.notes.items()]
    return "\n".join([*lines, *control_lines(evaluation)])


def _line(
    name: str, better: str, digits: int, original: Metric | None, erased: Metric | None
) -> str:
    count = next(metric.n for metric in (erased, original) if metric)
    values = f"{cell(original, digits):>28}{cell(erased, digits):>28}"
    return f"{name:39}{f'{better} is better':18}{count:>5}{values}"
