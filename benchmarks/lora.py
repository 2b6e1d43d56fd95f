"""How high a rank does a LoRA need? The base with LoRAs of rising rank, beside the erased model.

    python -m benchmarks.lora --out runs/bench

Each LoRA is in half precision, as `expunge export` writes it, and is added to the base in float32.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import SCORES, Options, run_case, score_cells, table, write_results
from erase.export.place import put_in_place
from erase.models.erased_run import open_run
from eval.concept.results import ConceptScores
from expunge.evaluations.concept import evaluate_concept
from expunge.exports.export import export_run
from expunge.exports.lora_check import write_with_lora
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.export import Export

RANKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class LoraOptions(Options):
    """Flags of the benchmark of ranks."""

    concept: str = "church"
    """What is erased."""
    ranks: tuple[int, ...] = RANKS
    """Ranks to measure."""


def main(options: LoraOptions) -> None:
    """Export and measure every rank and write lora.json and lora.md."""
    case = run_case(options.concept, Erase(concepts=(options.concept,)), options)
    run = options.out / options.concept
    models = {"erased, all weights": case.evaluation.erased}
    if case.evaluation.original:
        models = {"original": case.evaluation.original, **models}
    points: list[dict[str, Any]] = []
    scores: list[ConceptScores] = []
    markdown = ""
    for rank in options.ranks:
        point, found = _measure(rank, options)
        points.append(point)
        scores.append(found)
        rows = [[name, *score_cells(s), "", ""] for name, s in models.items()]
        rows += [_row(p, s) for p, s in zip(points, scores, strict=True)]
        head = ["", *SCORES, "residual", "bytes"]
        note = (
            f"LoRAs of {options.concept} erased from {options.model}, {options.protocol} protocol, "
            "in %, with 95 % intervals. The residual is the share of the change that is missed."
        )
        markdown = f"{note}\n\n{table(head, rows)}"
        record = {"concept": options.concept, "full": case.evaluation.to_dict(), "points": points}
        write_results(options, "lora", {"run": str(run), **record}, markdown)
    sys.stdout.write(markdown)


def _measure(rank: int, options: LoraOptions) -> tuple[dict[str, Any], ConceptScores]:
    """One rank, in a folder of its own; its images and judgements are kept."""
    folder = options.out / f"{options.concept}-lora" / f"rank-{rank}"
    file, target = folder / "lora.safetensors", options.out / options.concept
    exported = export_run(
        Export(target=target, format="lora", rank=rank, to=file, check="no", overwrite=True)
    )
    run = open_run(target)

    def write(place: Path) -> None:
        write_with_lora(run, file, place)

    put_in_place(folder / "model", write, overwrite=True)
    evaluation, _ = evaluate_concept(
        EvaluateConcept(
            target=str(folder / "model"),
            protocol=options.protocol,
            out=folder / "eval",
            originals=options.out.resolve() / ".originals",
        )
    )
    keys = ("layers", "largest_rank", "residual", "worst", "left_out", "bytes", "unet_bytes")
    told = {key: exported[key] for key in keys}
    return {"rank": rank, **told, "evaluation": evaluation.to_dict()}, evaluation.erased


def _row(point: dict[str, Any], scores: ConceptScores) -> list[str]:
    cells = [f"{100 * point['residual']:.2f}", f"{point['bytes']:,}"]
    return [f"LoRA, rank {point['rank']}", *score_cells(scores), *cells]


if __name__ == "__main__":
    main(tyro.cli(LoraOptions, description=__doc__))
