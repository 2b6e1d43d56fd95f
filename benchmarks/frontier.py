"""All methods in one harness: what each erases, what it keeps, and what attacks bring back.

    python -m miniature --without church          # once, some hours: Retrain, which never knew it
    python -m benchmarks.frontier --out runs/bench

A cell is a method on a concept and a seed: its erasure with its defaults, the bench protocol, and
the quick attacks; some minutes on two cores, and a cell that is finished is not made again. Methods
that train have a second row, trained where SalUn's mask is. Retrain is what all should reach: its
distance to each is of images (CMMD) and of predictions on noised latents.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tyro
from torch import Tensor

from benchmarks import retrain
from benchmarks.common import Options, erase_case, to_png, write_results
from benchmarks.frontier_plot import draw
from benchmarks.frontier_table import to_markdown
from benchmarks.levers import DEEP
from erase.models.companions import clip_folder
from erase.models.locate import locate
from erase.run_folder.folder import read_run
from erase.run_folder.record import RunRecord
from eval.concept.results import ConceptEvaluation
from eval.depth.results import AttackEvaluation
from eval.judges.clip import load_clip
from eval.metrics.schema import Metric
from expunge.evaluations.attack import evaluate_attack
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.erase import Erase
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.methods import METHODS
from plumbing.processes import sole
from plumbing.whole_files import replace_file

RETRAIN = "retrain"
ROWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "salun": ("salun", {}),
    "salun, no mask": ("salun", {"mask_kind": "none"}),
    "salun, deep": ("salun", DEEP | {"steps": 150}),
    "salun, deep, adversaries": ("salun", DEEP | {"steps": 110, "adversaries": 4}),
    "esd-x": ("esd", {}),
    "esd-x, masked": ("esd", {"density": 0.5}),
    "ca": ("ca", {}),
    "ca, masked": ("ca", {"density": 0.5}),
    "leco": ("leco", {}),
    "uce": ("uce", {}),
    "rece": ("rece", {}),
    "speed": ("speed", {}),
}
"""A method and what differs from its defaults, by the row's name."""
CELLS = ("church-0", "dog-0", "outline-0", "church-1", "church-2")
"""A concept and the seed of its erasures: each a column of cells, a method a cell."""


@dataclass(frozen=True)
class FrontierOptions(Options):
    """Flags of the benchmark of all methods."""

    rows: tuple[str, ...] = (*ROWS, RETRAIN)
    """Which methods."""
    cells: tuple[str, ...] = CELLS
    """Which concepts and seeds; the table has these alone, and reads what is finished."""
    floor: Path = Path("build/miniature/without-church")
    """Retrain of church, as `python -m miniature --without church` makes it."""
    floor_concept: str = "church"
    """What it never knew."""


@dataclass(frozen=True)
class Reference:
    """Retrain, as distances to it need it."""

    options: FrontierOptions
    evaluation: Path
    """Its own of the concept: the original's images and its own."""

    @cached_property
    def clip(self) -> Any:
        """The miniature's own CLIP."""
        return load_clip(str(clip_folder(locate(self.options.model))))

    @cached_property
    def probe(self) -> retrain.Probe:
        """The original's images, noised."""
        return retrain.make_probe(retrain.load(self.options.model), self.evaluation)

    @cached_property
    def said(self) -> Mapping[str, Mapping[str, Tensor]]:
        """What the original and Retrain predict of the probe."""
        models = {"original": self.options.model, RETRAIN: self.options.floor}
        return {k: retrain.predictions(retrain.load(m), self.probe) for k, m in models.items()}

    def distance(self, model: str, evaluation: Path) -> dict[str, dict[str, Metric]]:
        """Of a model, whose images an evaluation has, by kind and split."""
        ours = retrain.predictions(retrain.load(model), self.probe)
        return {
            "images": retrain.image_distance(
                evaluation / "erased", self.evaluation / "erased", self.clip
            ),
            "predictions": retrain.prediction_distance(
                ours, self.said[RETRAIN], self.said["original"]
            ),
        }


def main(options: FrontierOptions) -> None:
    """Make every cell; print, and write frontier.json, .md and .png after each."""
    if not options.floor.is_dir():
        sys.exit(
            f"--floor {options.floor}: is not there; make it once with "
            f"`python -m miniature --without {options.floor_concept}`"
        )
    reference = Reference(options, _judge(str(options.floor), options.floor_concept, options)[1])
    points: list[dict[str, Any]] = []
    for column in options.cells:
        concept, _, seed = column.rpartition("-")
        for row in options.rows:
            if row != RETRAIN or column == f"{options.floor_concept}-0":
                points.append(_cell(row, concept, int(seed), options, reference))
                write_results(options, "frontier", {"points": points}, to_markdown(points))
                replace_file(options.out / "frontier.png", to_png(draw(points)))
    sys.stdout.write(to_markdown(points))


def _cell(
    row: str, concept: str, seed: int, options: FrontierOptions, reference: Reference
) -> dict[str, Any]:
    target, cost = str(options.floor), {}
    if row != RETRAIN:
        name = f"frontier {concept} {seed} {row}"
        target, cost = erase_row(row, (concept,), seed, name, options)
    judged, evaluation = _judge(target, concept, options)
    attacked = _attack(target, concept, options)
    distance = None
    if concept == options.floor_concept:
        told = reference.distance(target, evaluation)
        distance = {kind: {k: asdict(v) for k, v in own.items()} for kind, own in told.items()}
    return {
        "row": row,
        "concept": concept,
        "seed": seed,
        **cost,
        "evaluation": judged.to_dict(),
        "attack": attacked.to_dict(),
        "distance": distance,
    }


def erase_row(
    row: str, concepts: tuple[str, ...], seed: int, name: str, options: Options
) -> tuple[str, dict[str, float]]:
    """Erase by a row's method; the folder and what it cost in passes and seconds."""
    method, own = ROWS[row]
    flags = METHODS[method].flags(seed=seed, **own)
    command = Erase(concepts=concepts, method=method, settings=flags)
    target = str(erase_case(name.replace(",", ""), command, options)["out"])
    return target, cost_of(read_run(Path(target)))


def cost_of(record: RunRecord) -> dict[str, float]:
    """Passes and seconds of an erasure by itself.

    Rows share sets, and the first draws them: of any other, those from the cache count as if they
    were drawn again, an image as one of the probe's, which takes as many passes.
    """
    passes = sum(spent.denoiser for spent in record.passes.values())
    seconds = sum(record.seconds.values())
    drawn = record.passes["sets"].image_decoder if record.sets else 0
    if cached := sum(record.sets.values()) - drawn:
        probe = record.passes["probe"]
        passes += round(cached * probe.denoiser / probe.image_decoder)
        seconds += cached * record.seconds["probe"] / probe.image_decoder
    return {"passes": passes, "seconds": round(seconds, 1)}


def _judge(target: str, concept: str, options: FrontierOptions) -> tuple[ConceptEvaluation, Path]:
    """By the bench protocol, on the same prompts and noise whatever the erasure's seed."""
    place = _place(target, "concept", concept, options)
    return sole(evaluate_concept(EvaluateConcept(target=target, protocol="bench", **place)))


def _attack(target: str, concept: str, options: FrontierOptions) -> AttackEvaluation:
    """By the quick attacks, with Retrain for a floor where it never knew the concept."""
    floor = str(options.floor) if concept == options.floor_concept else None
    if target == floor:
        # A model cannot be its own floor; its row says what attacks reach on it.
        floor = None
    place = _place(target, "attack", concept, options)
    return sole(evaluate_attack(EvaluateAttack(target=target, floor=floor, **place)))[0]


def _place(target: str, kind: str, concept: str, options: FrontierOptions) -> dict[str, Any]:
    """What a run folder records; Retrain has none, so it is given here."""
    if target != str(options.floor):
        return {}
    return {
        "concept": (concept,),
        "baseline": options.model,
        "out": options.out / "frontier-retrain" / kind,
        "originals": options.out / ".originals",
    }


if __name__ == "__main__":
    main(tyro.cli(FrontierOptions, description=__doc__))
