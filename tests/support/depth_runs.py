"""Whole evaluations under attack on tiny models: small attacks, what counts their passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from erase.models.checkpoint import load_checkpoint
from eval.attack.attack import Attack
from eval.attack.known import ATTACKS
from eval.depth.evaluate import attack_and_judge
from eval.depth.images import Lesson
from eval.depth.plan import Plan, Subject, Under
from eval.depth.results import RANDOM, AttackEvaluation, AttackQuestion
from eval.generation.generate import Drawing
from eval.judges.judge import Judge
from expunge.evaluations.attack import randomise
from expunge.evaluations.under_attack import UnderAttack
from plumbing.processes import sole
from support.attack_runs import ByteJudge

SMALL: Mapping[str, Mapping[str, Any]] = {
    "words": {"strengths": (1.0,)},
    "complete": {"begun": (0.5,), "noised": (0.5,), "painted": (0.5,)},
    "learned-word": {
        "forms": (("near", 1, "images"), ("own", 1, "path")),
        "steps": (2, 4),
        "lr": 0.05,
        "batch": 2,
    },
    "embedding": {"noised": ("images",), "steps": (3,), "lr": 0.05, "batch": 2},
    "relearn": {
        "forms": (("full", "concept"), ("lora", "others")),
        "steps": (1, 2),
        "images": 4,
        "batch": 2,
    },
    "prompt": {"objectives": ("noise", "original"), "tokens": 2, "timesteps": 2, "iterations": 2},
    "invert": {"iterations": 2},
}
LESSON = Lesson(
    name="church",
    words="church",
    templates=("an image of a {}", "a picture of a {}"),
    prompts=("an image of a church", "a church"),
    probes=("a chapel on a hill",),
    pairs=(("a church", "a dog"),),
    other_prompts=("a dog", "an apple"),
)
QUESTION = AttackQuestion("church", "object", ("church",))
DRAWING = Drawing("ddim", 2, 5.0, (16, 16), "float32")
MakeAttacks = Callable[..., AttackEvaluation]


def small(names: tuple[str, ...] = tuple(SMALL)) -> list[Attack]:
    """The attacks of these names, with small numbers."""
    return [replace(a, budgets={"quick": SMALL[a.name]}) for a in ATTACKS if a.name in names]


def told(found: AttackEvaluation) -> dict[str, Any]:
    """All that is found, but for how long it took."""
    data = json.loads(json.dumps(found.to_dict()))
    for cost in data["cost"].values():
        del cost["seconds"]
    return data


class Bar:
    """Counts passes; ends the process, so to say, after so many calls."""

    def __init__(self, calls: int | None = None) -> None:
        self.left, self.passes = calls, 0

    def __call__(self, total: int, done: int) -> Bar:
        self.total = total
        return self

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, more: int) -> None:
        self.passes += more
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


def attacks_on(original: Path, erased: Path, folder: Path) -> MakeAttacks:
    """Attacks a tiny model, erased by chance, and one that never knew anything; below a folder."""

    def subject(name: str, model: Path) -> Subject:
        def open_it() -> UnderAttack:
            bundle = load_checkpoint(str(model), device="cpu")
            if name == RANDOM:
                randomise(bundle, 0)
            return UnderAttack(bundle, sha256=name, steps=2, guidance=5.0, lr=1e-2)

        return Subject(name, name, open_it)

    def attack(
        attacks: list[Attack],
        out: str = "out",
        bar: Any = None,
        judge: Judge | None = None,
        floor: bool = True,
        seed: int = 0,
        repetitions: int = 1,
        **flags: Any,
    ) -> AttackEvaluation:
        folders = {"original": original, "erased": erased, RANDOM: original}
        folders |= {"floor": erased} if floor else {}
        return sole(
            attack_and_judge(
                LESSON,
                QUESTION,
                # Few images to learn from.
                Plan(attacks, "quick", repetitions, 4, seed, DRAWING, (10, 10)),
                Under(
                    {name: subject(name, model) for name, model in folders.items()},
                    folder / out,
                    folder / f"{out}-originals",
                    bar or Bar(),
                ),
                judge or ByteJudge(),
                **flags,
            )
        )

    return attack
