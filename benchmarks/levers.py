"""Which levers make an erasure deep, and what is drawn instead sensible?

    python -m benchmarks.levers --out runs/bench

Each trial is an erasure that differs from the defaults as its name says, judged by the bench
protocol and attacked by learned words and free embeddings (quick budget). Its concepts and seed are
by default none that docs/frontier.md reports: what is chosen here is measured there.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import Options, erase_case, table, write_results
from erase.run_folder.folder import read_run
from eval.metrics.rates import cell
from expunge.evaluations.attack import evaluate_attack
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.salun import SalUnFlags
from plumbing.processes import sole

METRICS = ("ua", "ira", "cra", "near", "substitute")
ATTACKS = ("learned-word", "embedding")
BLOCKS: dict[str, Any] = {"train_method": "transformers", "lr": 3e-4}
ANSWER: dict[str, Any] = {"relabel": "random", "relabel_share": 0.5}
DEEP: dict[str, Any] = BLOCKS | ANSWER | {"mix": 0.5}
TRIALS: dict[str, dict[str, Any]] = {
    "default": {},
    "all weights": {"train_method": "full", "lr": 3e-4},
    "blocks": BLOCKS,
    "one answer": {"relabel": "random"},
    "deep": DEEP,
    "deep, 150 steps": DEEP | {"steps": 150},
    "deep, 4 adversaries": DEEP | {"adversaries": 4},
    "deep, 4 adversaries, 110 steps": DEEP | {"adversaries": 4, "steps": 110},
    "deep, own prompts alone": DEEP | {"mix": 0.0},
    "deep, the concept's images alone": DEEP | {"relabel_share": 0.0},
    "deep, an answer a sample": DEEP | {"relabel": "mixed"},
    "deep, the nearest": DEEP | {"relabel": "nearest"},
    "deep, all weights": DEEP | {"train_method": "full"},
    "deep, cross-attention": DEEP | {"train_method": "xattn", "lr": 5e-4},
    "deep, contrastive mask": DEEP | {"mask_kind": "contrastive"},
    "deep, random mask": DEEP | {"mask_kind": "random"},
    "deep, no mask": DEEP | {"mask_kind": "none"},
}
"""What differs from the defaults, by the trial's name."""


@dataclass(frozen=True)
class LeverOptions(Options):
    """Flags of the benchmark of levers."""

    concept: str = "parachute"
    """What is erased."""
    seed: int = 7
    """Of the erasure."""
    trials: tuple[str, ...] = tuple(TRIALS)
    """Which."""
    attacks: bool = True
    """Whether they are attacked."""


def main(options: LeverOptions) -> None:
    """Make every trial; print, and write levers-CONCEPT.json and .md."""
    points, markdown = [], ""
    name = f"levers-{options.concept}"
    for trial in options.trials:
        points.append(_trial(trial, options))
        head = ["", *METRICS, *ATTACKS, "passes", "of them trained"]
        rows = table(head, [point["cells"] for point in points])
        markdown = f"{options.concept}, seed {options.seed}\n\n{rows}"
        write_results(options, name, {"points": points}, markdown)
    sys.stdout.write(markdown)


def _trial(trial: str, options: LeverOptions) -> dict[str, Any]:
    settings = SalUnFlags(seed=options.seed, **TRIALS[trial])
    command = Erase(concepts=(options.concept,), settings=settings)
    name = f"lever {options.concept} {options.seed} {trial}".replace(",", "")
    out = Path(str(erase_case(name, command, options)["out"]))
    judged, _ = sole(evaluate_concept(EvaluateConcept(target=str(out), protocol="bench")))
    attacked = None
    if options.attacks:
        attacked, _ = sole(evaluate_attack(EvaluateAttack(target=str(out), attacks=ATTACKS)))
    spent = {stage: each.denoiser for stage, each in read_run(out).passes.items()}
    return {
        "trial": trial,
        "settings": TRIALS[trial],
        "passes": spent,
        "evaluation": judged.to_dict(),
        "attack": attacked.to_dict() if attacked else None,
        "cells": [
            trial,
            *(cell(getattr(judged.erased, metric), 0) for metric in METRICS),
            *(_forms(attacked.erased[a]) if attacked else "-" for a in ATTACKS),
            f"{sum(spent.values()):,}",
            f"{spent['train']:,}",
        ],
    }


def _forms(score: Mapping[str, Any] | Any) -> str:
    """The form that counts, and in brackets all."""
    each = [f"{found.success.value:.0f}" for found in score.variants]
    return f"{score.success.value:.0f} ({', '.join(each)})"


if __name__ == "__main__":
    main(tyro.cli(LeverOptions, description=__doc__))
