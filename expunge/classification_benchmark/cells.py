"""The benchmark's cells: which model is made to forget what, by which method; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from erase.classification.recipes import RETRAIN, MethodName, Recipe, Scenario, recipe
from expunge.settings.classification import SettledClassification

Original = Literal["original"]
ORIGINAL: Original = "original"
LABELS = {
    "original": "Original",
    "retrain": "Retrain",
    "ft": "FT",
    "ga": "GA",
    "rl": "RL",
    "l1_sparse": "l1-sparse",
    "salun": "SalUn",
}


@dataclass(frozen=True)
class Task:
    """What is to be forgotten: a share of the images drawn at random, or a class."""

    scenario: Scenario
    share: float | None = None
    """Of the training images; None for a class."""

    @property
    def name(self) -> str:
        """`random-0.1` or `class`."""
        return self.scenario if self.share is None else f"{self.scenario}-{self.share:g}"


@dataclass(frozen=True)
class Cell:
    """One model to make and to measure."""

    task: Task
    seed: int
    method: MethodName | Original
    """`original` is the model that all others begin with, as it is."""
    masked: bool

    @property
    def variant(self) -> str:
        """The method and whether it has the mask, as in file names: `ft`, `ft-mask`, `salun`."""
        return f"{self.method}-mask" if self.masked and self.method != "salun" else self.method

    @property
    def name(self) -> str:
        """The cell's, as in file names."""
        return f"{self.task.name}-seed{self.seed}-{self.variant}"


def label(variant: str) -> str:
    """A variant as tables have it: `FT + mask`."""
    method = variant.removesuffix("-mask")
    return LABELS[method] + (" + mask" if method != variant else "")


def variants(methods: Sequence[MethodName], mask: str) -> list[tuple[MethodName, bool]]:
    """The methods with and without the mask, each once; SalUn is RL with it."""
    found: list[tuple[MethodName, bool]] = []
    for method in methods:
        if method == "salun" or (method == "rl" and mask != "without"):
            found.append(("salun", True))
        if method in ("retrain", "salun"):
            continue
        if mask != "with":
            found.append((method, False))
        if mask != "without" and method != "rl":
            found.append((method, True))
    order = {method: i for i, method in enumerate(LABELS)}
    return sorted(dict.fromkeys(found), key=lambda pair: (order[pair[0]], pair[1]))


def plan_tasks(settings: SettledClassification) -> list[Task]:
    """What is to be forgotten, in the order of the flags."""
    tasks = []
    for scenario in settings.scenario:
        if scenario == "class":
            tasks.append(Task("class"))
        else:
            tasks += [Task("random", share) for share in settings.forget_share]
    return tasks


def plan_cells(settings: SettledClassification) -> list[Cell]:
    """Every cell, task by task and seed by seed: what comes first can be read first."""
    fixed: list[tuple[MethodName | Original, bool]] = [(ORIGINAL, False), ("retrain", False)]
    chosen = variants(settings.methods, settings.mask)
    return [
        Cell(task, seed, method, masked)
        for task in plan_tasks(settings)
        for seed in settings.seeds
        for method, masked in (*fixed, *chosen)
    ]


def recipe_of(settings: SettledClassification, cell: Cell) -> Recipe:
    """How a cell's model is trained: the method's recipe, and what the flags say instead."""
    if cell.method in (ORIGINAL, "retrain"):
        return Recipe(RETRAIN.lr, settings.epochs, warmup=RETRAIN.warmup)
    own = recipe(
        cell.method, masked=cell.masked, scenario=cell.task.scenario, share=cell.task.share or 0
    )
    told = {
        "lr": settings.unlearn_lr,
        "epochs": settings.unlearn_epochs,
        "gamma": settings.gamma if cell.method == "l1_sparse" else None,
        "alpha": settings.alpha if cell.method in ("rl", "salun") else None,
        "density": settings.density if cell.masked else None,
    }
    return replace(own, **{name: value for name, value in told.items() if value is not None})


def images_of(cell: Cell, recipe: Recipe, total: int, forgotten: int) -> int:
    """How many images a cell's training goes over, for the progress bar."""
    if cell.method == ORIGINAL:
        return 0
    sizes = {"ga": forgotten, "rl": total, "salun": total}
    return recipe.epochs * sizes.get(cell.method, total - forgotten)
