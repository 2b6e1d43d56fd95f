"""Between the original and the erased model, and beyond: `expunge export --strength`.

python -m benchmarks.strength --out runs/bench
"""

import sys
from dataclasses import dataclass
from typing import Any

import tyro
from matplotlib.figure import Figure

from benchmarks.common import (
    METRICS,
    SCORES,
    Options,
    run_case,
    score_cells,
    table,
    to_png,
    write_results,
)
from eval.concept.results import ConceptScores
from expunge.evaluations.concept import evaluate_concept
from expunge.exports.export import export_run
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.export import Export
from plumbing.whole_files import replace_file

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
_MEANING = {"ua": "concept gone", "ira": "other objects kept", "cra": "styles kept"}


@dataclass(frozen=True)
class StrengthOptions(Options):
    """Flags of the benchmark of strengths."""

    concept: str = "church"
    """What is erased."""
    strengths: tuple[float, ...] = STRENGTHS
    """Strengths to measure."""


def main(options: StrengthOptions) -> None:
    """Export and measure every strength and write strength.json, .md and .png."""
    run_case(options.concept, Erase(concepts=(options.concept,)), options)
    found: dict[float, ConceptScores] = {}
    points: list[dict[str, Any]] = []
    markdown = ""
    for strength in options.strengths:
        point, found[strength] = _measure(strength, options)
        points.append(point)
        note = (
            f"{options.concept} erased from {options.model}, exported at each strength; "
            f"{options.protocol} protocol, in %, with 95 % intervals."
        )
        rows = [[f"{s:g}", *score_cells(scores)] for s, scores in found.items()]
        markdown = f"{note}\n\n{table(['strength', *SCORES], rows)}"
        record = {"concept": options.concept, "points": points}
        write_results(options, "strength", record, markdown)
        replace_file(options.out / "strength.png", _draw(found, options.concept))
    sys.stdout.write(markdown)


def _measure(strength: float, options: StrengthOptions) -> tuple[dict[str, Any], ConceptScores]:
    """One strength, in a folder of its own; its images and judgements are kept."""
    folder = options.out / f"{options.concept}-strength" / f"{strength:g}"
    target, place = options.out / options.concept, folder / "model"
    settings = Export(target=target, strength=strength, to=place, overwrite=True)
    exported = export_run(settings)
    evaluation, _ = evaluate_concept(
        EvaluateConcept(
            target=str(place),
            baseline=options.model,
            concept=(options.concept,),
            protocol=options.protocol,
            out=folder / "eval",
            originals=options.out.resolve() / ".originals",
        )
    )
    told = {"strength": strength, "sha256": exported["sha256"]}
    return {**told, "evaluation": evaluation.to_dict()}, evaluation.erased


def _draw(found: dict[float, ConceptScores], concept: str) -> bytes:
    """The curves of `ua` and `ira`, with their intervals; a PNG."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for metric, marker in zip(METRICS[:2], "os", strict=True):
        values = {s: m for s, scores in found.items() if (m := getattr(scores, metric))}
        rates = [m.value for m in values.values()]
        low = [m.value - m.ci95[0] for m in values.values()]
        high = [m.ci95[1] - m.value for m in values.values()]
        label = f"{metric}: {_MEANING[metric]}"
        axes.errorbar(list(values), rates, [low, high], marker=marker, capsize=3, label=label)
    axes.set(xlabel="strength", ylabel="%", ylim=(-3, 103), title=f"{concept}, by strength")
    axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    axes.grid(alpha=0.3)
    return to_png(figure)


if __name__ == "__main__":
    main(tyro.cli(StrengthOptions, description=__doc__))
