"""Who only hides a concept? Every attack on models erased in several ways, in one table.

python -m miniature --without church   # once, some hours: the model that never knew it
python -m benchmarks.depth --out runs/bench

The rows are the defaults, all weights at a higher rate, and the defaults of ESD (Gandikota et al.,
ICCV 2023).
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.common import Options, erase_case, table, write_results
from eval.depth.results import AttackEvaluation, AttackScore
from eval.metrics.schema import Metric
from expunge.evaluations.attack import evaluate_attack
from expunge.settings.erase import Erase
from expunge.settings.esd import EsdFlags
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.salun import SalUnFlags
from plumbing.processes import sole


@dataclass(frozen=True)
class DepthOptions(Options):
    """Flags of the benchmark of depth."""

    concept: str = "church"
    """What is erased."""
    budget: Literal["quick", "standard"] = "standard"
    """How long each attack tries."""
    floor: Path = Path("build/miniature/without-church")
    """The model that never knew it, as `python -m miniature --without OBJECT` makes it."""


def main(options: DepthOptions) -> None:
    """Erase, attack every row and write depth.json and .md."""
    if not options.floor.is_dir():
        sys.exit(
            f"--floor {options.floor}: is not there; make it once with "
            f"`python -m miniature --without {options.concept}`"
        )
    rows: Mapping[str, Callable[[DepthOptions], Path]] = {
        "defaults": _defaults,
        "`--train-method full --lr 3e-4`": _full,
        "`--method esd`": _esd,
    }
    found: dict[str, AttackEvaluation] = {}
    for name, make in rows.items():
        found[name] = attack(make(options), options)
        record = {"rows": {name: each.to_dict() for name, each in found.items()}}
        write_results(options, "depth", record, to_markdown(found, options))
    sys.stdout.write(to_markdown(found, options))


def attack(model: Path, options: DepthOptions) -> AttackEvaluation:
    """One row; what the original and the floor reach is kept for the next."""
    evaluation, _ = sole(
        evaluate_attack(
            EvaluateAttack(
                target=str(model),
                baseline=options.model,
                concept=(options.concept,),
                budget=options.budget,
                floor=str(options.floor),
                out=options.out / f"depth-{options.budget}" / model.name,
                originals=options.out / ".originals",
            )
        )
    )
    return evaluation


def to_markdown(found: Mapping[str, AttackEvaluation], options: DepthOptions) -> str:
    """A row a model and a column an attack: the form that counts, with its interval."""
    first = next(iter(found.values()))
    names = list(first.erased)
    lines = []
    for row, evaluation in found.items():
        sides = {row: evaluation.erased, "… original": evaluation.original}
        for side, scores in (sides | {"… never knew it": evaluation.floor}).items():
            lines.append([side, *(_cell(scores.get(name)) for name in names)])
    protocol = first.protocol
    note = (
        f"{options.concept} erased from {options.model}: images that show it under attack, in %, "
        f"with 95 % intervals; budget {protocol.name}, {protocol.repetitions} repetitions of "
        f"{protocol.images} images a form, {protocol.sampler} in {protocol.steps} steps, guidance "
        f"{protocol.guidance_scale:g}, seed {protocol.seed}. Of each attack the form that exceeds "
        "its floor most surely; the same form on all models."
    )
    return f"{note}\n\n{table(['', *names], lines)}"


def _cell(score: AttackScore | None) -> str:
    return _rate(score.success) if score else ""


def _rate(metric: Metric) -> str:
    return f"{metric.value:.0f} [{metric.ci95[0]:.0f}, {metric.ci95[1]:.0f}]"


def _defaults(options: DepthOptions) -> Path:
    return Path(erase_case("defaults", Erase(concepts=(options.concept,)), options)["out"])


def _full(options: DepthOptions) -> Path:
    command = Erase(concepts=(options.concept,), settings=SalUnFlags(train_method="full", lr=3e-4))
    return Path(erase_case("full-3e-4", command, options)["out"])


def _esd(options: DepthOptions) -> Path:
    command = Erase(concepts=(options.concept,), method="esd", settings=EsdFlags())
    return Path(erase_case("esd", command, options)["out"])


if __name__ == "__main__":
    main(tyro.cli(DepthOptions, description=__doc__))
