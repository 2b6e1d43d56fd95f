"""The bill of the sets: what cheaper ones cost and whether what comes of them is as good.

    python -m benchmarks.bill --out runs/bench                  # before and after
    python -m benchmarks.bill --choose --out runs/bench         # the candidates, on other concepts

Each cell is an erasure with the defaults but for its sets, judged by the `bench` protocol and
attacked by a learned word (quick, repeated). Before is DDIM in the model's own number of steps, all
guided, 64 + 256 images.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import Options, erase_case, table, write_results
from erase.run_folder.folder import read_run
from eval.concept.results import ConceptEvaluation
from eval.depth.results import AttackEvaluation
from eval.metrics.rates import cell
from expunge.evaluations.attack import evaluate_attack
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.groups import DataFlags
from expunge.settings.salun import SalUnFlags
from plumbing.processes import sole

METRICS = ("ua", "ira", "cra", "near")
BEFORE = DataFlags(sampler="ddim", guided_share=1.0, forget_images=64, retain_images=256)
AFTER = DataFlags()
CANDIDATES = {
    "before": BEFORE,
    "dpm++, 32 + 128": DataFlags(
        sampler="dpm++", guided_share=1.0, forget_images=32, retain_images=128
    ),
    "dpm++, 64 + 96": DataFlags(
        sampler="dpm++", guided_share=1.0, forget_images=64, retain_images=96
    ),
    "dpm++ guided in half, 48 + 160": DataFlags(
        sampler="dpm++", guided_share=0.5, forget_images=48, retain_images=160
    ),
    "dpm++ in 8, guided in 5, 64 + 176": DataFlags(
        sampler="dpm++",
        inference_steps=8,
        guided_share=0.625,
        forget_images=64,
        retain_images=176,
    ),
}
PAIR = {"before": BEFORE, "after": AFTER}
ATTACK = "learned-word"


@dataclass(frozen=True)
class BillOptions(Options):
    """Flags of the benchmark of the bill."""

    concepts: tuple[str, ...] = ("church", "parachute", "neon")
    """What is erased, each with every seed."""
    seeds: tuple[int, ...] = (0, 1)
    """Of an erasure."""
    choose: bool = False
    """Compare the candidates, on concepts and a seed that the table does not use."""
    repetitions: int = 2
    """Of the attack."""
    images: int = 24
    """Of each of the attack's forms and repetitions."""


CHOSEN_ON = {"concepts": ("dog", "outline"), "seeds": (7,)}


def main(options: BillOptions) -> None:
    """Erase, judge and attack every cell; print, and write bill.json and .md."""
    ways = CANDIDATES if options.choose else PAIR
    concepts = CHOSEN_ON["concepts"] if options.choose else options.concepts
    seeds = CHOSEN_ON["seeds"] if options.choose else options.seeds
    name = "bill-choice" if options.choose else "bill"
    points: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    for concept in concepts:
        for seed in seeds:
            for way, data in ways.items():
                points.append(_cell(f"{concept} {seed}", way, concept, seed, data, options))
                rows.append(points[-1]["cells"])
                _write(options, name, points, rows)
    sys.stdout.write(_write(options, name, points, rows))


def _cell(
    label: str, way: str, concept: str, seed: int, data: DataFlags, options: BillOptions
) -> dict[str, Any]:
    name = f"bill {label} {way}".replace("+", "p").replace(",", "")
    command = Erase(concepts=(concept,), settings=SalUnFlags(seed=seed), data=data)
    out = str(erase_case(name, command, options)["out"])
    record = read_run(Path(out))
    judged, _ = sole(evaluate_concept(EvaluateConcept(target=out, protocol="bench")))
    attacked, _ = sole(
        evaluate_attack(
            EvaluateAttack(
                target=out,
                attacks=(ATTACK,),
                repetitions=options.repetitions,
                images=options.images,
            )
        )
    )
    passes = {stage: spent.denoiser for stage, spent in record.passes.items()}
    return {
        "concept": concept,
        "seed": seed,
        "way": way,
        "passes": passes,
        "seconds": dict(record.seconds),
        "evaluation": judged.to_dict(),
        "attack": attacked.to_dict(),
        "cells": [f"{label}, {way}", f"{passes['sets']:,}", *_cells(judged, attacked)],
    }


def _cells(judged: ConceptEvaluation, attacked: AttackEvaluation) -> list[str]:
    scores = [cell(getattr(judged.erased, metric)) for metric in METRICS]
    return [*scores, cell(attacked.erased[ATTACK].success)]


def _write(
    options: BillOptions, name: str, points: list[dict[str, Any]], rows: list[list[str]]
) -> str:
    note = (
        f"{options.model}: the default erasure by sets drawn in several ways; bench protocol, and "
        f"a learned word (quick budget, {options.repetitions} x {options.images} images); in %, "
        "with 95 % intervals."
    )
    head = ["concept, seed, sets", "passes of the sets", *METRICS, "brought back by a word"]
    markdown = f"{note}\n\n{table(head, rows)}"
    write_results(options, name, {"points": points}, markdown)
    return markdown


if __name__ == "__main__":
    main(tyro.cli(BillOptions, description=__doc__))
