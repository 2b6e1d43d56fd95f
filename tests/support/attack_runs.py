"""Evaluations under attack, small but real, and what tiny models need for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from transformers import ResNetForImageClassification

from eval.attack.known import ATTACKS, PLAIN
from eval.depth.results import AttackEvaluation, AttackProtocol, AttackQuestion, Attempt, Made, Role
from eval.depth.scores import depth, score
from eval.judges.judge import Prediction
from eval.metrics.schema import write_evaluation
from plumbing.image_file import read_rgb
from support.report_runs import MODELS, SHA, add_images, write_lines
from support.tiny_models import OBJECTS, save_judge


@dataclass(frozen=True)
class ByteJudge:
    """Calls an image a church or a dog by the hash of its pixels: of one image always the same."""

    share: int = 128
    """In 256, of churches."""
    name: str = "bytes"
    labels: tuple[str, ...] = ("church", "dog")
    means_concept: tuple[str, ...] = ()
    explicit: bool = False

    @property
    def sha256(self) -> str:
        return sha256(f"{self.share}".encode()).hexdigest()

    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        for image in images:
            first = sha256(np.asarray(read_rgb(image)).tobytes()).digest()[0]
            yield Prediction("church" if first < self.share else "dog", 0.9)


def save_biased_judge(folder: Path, label: str = "church") -> Path:
    """An image classifier that calls everything by one label, for `--detector`."""
    save_judge(folder, OBJECTS)
    judge = ResNetForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        judge.classifier[1].weight.zero_()
        judge.classifier[1].bias.copy_(torch.tensor([10.0 * (o == label) for o in OBJECTS]))
    judge.save_pretrained(folder)
    return folder


def attempts(
    attack: str, model: Role, hits: int, n: int = 20, *, variant: str = "plain",
    step: int | None = None, adaptive: bool = False, seed: int = 0,
) -> list[Attempt]:  # fmt: skip
    """`n` images of which the first `hits` show the concept."""
    return [
        Attempt(
            id=f"{attack}-{seed}-{variant}-{i:03d}".replace(" ", "_").replace(",", ""),
            model=model,
            attack=attack,
            seed=seed,
            variant=variant,
            step=step,
            image=i,
            label="church" if i < hits else "dog",
            score=0.9,
            hit=i < hits,
            adaptive=adaptive,
        )
        for i in range(n)
    ]


def evaluation(rows: Sequence[Attempt], concept: str = "church") -> AttackEvaluation:
    """The evaluation that these attempts come to."""
    known = {a.name: a for a in (PLAIN, *ATTACKS)}
    made = {
        name: Made(a.title, a.box, a.source, a.control, a.shows, {})
        for name, a in known.items()
        if any(row.attack == name for row in rows)
    }
    scores = score(rows, {name: a.any_counts for name, a in known.items()})
    depths = {
        name: depth(own.success, scores["original"][name].success, scores["floor"][name].success)
        for name, own in scores["erased"].items()
        if name in scores["floor"]
    }
    roles = [role for role, found in scores.items() if found]
    return AttackEvaluation(
        protocol=AttackProtocol(
            "quick", 0, 1, "ddim", 10, 5.0, 64, 64, "float32", 20, SHA, made, None
        ),
        concept=AttackQuestion(concept, "object", ("church",)),
        models={role: {"name": role, "sha256": SHA} for role in roles},
        judges={"object": {"name": "judge/object", "sha256": SHA}},
        original=scores["original"],
        erased=scores["erased"],
        floor=scores["floor"],
        depth={name: found for name, found in depths.items() if found},
        passes=dict.fromkeys(made, 1000),
        versions={"torch": "2.11.0"},
    )


def add_attack(run: Path, *, back: int = 18, floor: int = 1) -> AttackEvaluation:
    """An evaluation in a run's folder: so many of 20 images bring the concept back."""
    rows: list[Attempt] = []
    for role, hits in (("original", 20), ("erased", back), ("floor", floor)):
        rows += attempts("none", role, 20 if role == "original" else 0)
        for steps in (75, 150):
            rows += attempts("learned-word", role, hits, variant=f"w, {steps} steps", step=steps)
        for steps in (10, 20):
            rows += attempts("relearn", role, hits, variant=f"full, {steps} steps", step=steps)
    place = run / "eval" / "attack"
    for model in MODELS:
        own = [row for row in rows if row.model == model]
        shapes = [("church", "#3b6ea5") if row.hit else ("fish", "#b5482a") for row in own]
        images = [
            (row.id, "a church", *shape) for row, shape in zip(own, shapes, strict=True)
        ]  # fmt: skip
        add_images(place, model, images)
    write_lines(place / "attempts.jsonl", [vars(row) for row in rows])
    concept = json.loads((run / "run.json").read_text())["concept"]["name"]
    found = evaluation(rows, concept)
    write_evaluation(place / "evaluation.json", found)
    return found
