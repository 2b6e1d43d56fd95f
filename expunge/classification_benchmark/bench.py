"""Runs cells: trains the originals, unlearns, measures, and keeps each finished cell in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from erase.classification.examples import Examples
from erase.classification.recipes import Recipe
from erase.classification.unlearn import unlearn
from erase.run_folder.folder import write_json
from erase.tensors.writing import write_tensors
from expunge.classification_benchmark.augment import crop_and_flip
from expunge.classification_benchmark.cells import ORIGINAL, Cell, Task, images_of, recipe_of
from expunge.classification_benchmark.data import Data
from expunge.classification_benchmark.metrics import score
from expunge.classification_benchmark.models import build_model
from expunge.settings.classification import SettledClassification
from plumbing.errors import UsageError

CELLS = "cells"
ORIGINALS = "originals"


@dataclass(frozen=True)
class Split:
    """What one cell forgets, keeps and is tested on."""

    forget: Examples
    retain: Examples
    test: Examples


def split(data: Data, task: Task, forget_class: int, seed: int) -> Split:
    """Divide the training images; of a forgotten class the test images are left out, too.

    Of a random share the round(share * N) images are those that the seed draws first, so that
    forget sets nest as the share grows.
    """
    train, test = data.train, data.test
    if task.share is None:
        gone, kept = train.labels == forget_class, test.labels != forget_class
        forget, retain = (train.take(where.nonzero().flatten()) for where in (gone, ~gone))
        return Split(forget, retain, test.take(kept.nonzero().flatten()))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    cut = round(task.share * len(train))
    if not 0 < cut < len(train):
        what = "no" if cut == 0 else "every"
        raise UsageError(f"--forget-share {task.share:g}: {what} image of {len(train)}")
    return Split(train.take(order[:cut]), train.take(order[cut:]), test)


@dataclass(frozen=True)
class Bench:
    """Where and with what the cells are run."""

    settings: SettledClassification
    data: Data
    out: Path
    device: torch.device
    dtype: torch.dtype

    def run(self, cell: Cell, tick: Callable[[int], object]) -> None:
        """Run a cell and write its file; `tick` is told of trained images."""
        self.path(cell).parent.mkdir(exist_ok=True)
        write_json(self.path(cell), self.measure(cell, recipe_of(self.settings, cell), tick))

    def path(self, cell: Cell) -> Path:
        """The file of a finished cell."""
        return self.out / CELLS / f"{cell.name}.json"

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that are not finished, or were trained by another recipe."""
        return [cell for cell in cells if not self._is_done(cell)]

    def images(self, cells: Sequence[Cell]) -> int:
        """How many images the trainings of these cells go over, the originals' included."""
        total, seeds = len(self.data.train), {cell.seed for cell in cells}
        untrained = [seed for seed in seeds if not self._original_path(seed).is_file()]
        count = len(untrained) * self.settings.epochs * total
        for cell in cells:
            parts = split(self.data, cell.task, self.settings.forget_class, cell.seed)
            recipe = recipe_of(self.settings, cell)
            count += images_of(cell, recipe, total, len(parts.forget))
        return count

    def _is_done(self, cell: Cell) -> bool:
        if not self.path(cell).is_file():
            return False
        record = json.loads(self.path(cell).read_text(encoding="utf-8"))
        return record["recipe"] == asdict(recipe_of(self.settings, cell))

    def measure(self, cell: Cell, recipe: Recipe, tick: Callable[[int], object]) -> dict[str, Any]:
        """Make a cell's model by a recipe and measure it; what its file is to hold."""
        parts = split(self.data, cell.task, self.settings.forget_class, cell.seed)
        parts = Split(*(part.to(self.device) for part in vars(parts).values()))
        original, seconds = self._original(cell.seed, tick)
        density = recipe.density if cell.masked else None
        if cell.method == ORIGINAL:
            model = original
        else:
            start = time.process_time()
            model = self._unlearn(cell, original, parts, recipe, density, tick)
            seconds = time.process_time() - start
        scores = score(
            model, parts.forget, parts.retain, parts.test, seed=cell.seed, dtype=self.dtype
        )
        return {
            "task": cell.task.name,
            "share": cell.task.share,
            "seed": cell.seed,
            "variant": cell.variant,
            **asdict(scores),
            "seconds": round(seconds, 3),
            "recipe": asdict(recipe),
            "density": density,
            "images": {name: len(part) for name, part in vars(parts).items()},
        }

    def _unlearn(
        self,
        cell: Cell,
        original: nn.Module,
        parts: Split,
        recipe: Recipe,
        density: float | None,
        tick: Callable[[int], object],
    ) -> nn.Module:
        return unlearn(
            original,
            parts.forget,
            parts.retain,
            cell.method,  # pyright: ignore[reportArgumentType]
            density=density,
            lr=recipe.lr,
            epochs=recipe.epochs,
            gamma=recipe.gamma,
            alpha=recipe.alpha,
            freeze_statistics=self.settings.freeze_statistics,
            batch_size=self.settings.batch_size,
            seed=cell.seed,
            dtype=self.dtype,
            augment=crop_and_flip if self.settings.dataset == "cifar10" else None,
            tick=tick,
        )

    def _original(self, seed: int, tick: Callable[[int], object]) -> tuple[nn.Module, float]:
        """The model that has learned everything, and the seconds it took; trained once, kept."""
        channels = self.data.train.images.shape[1]
        model = build_model(
            self.settings.model,
            channels,
            self.data.classes,
            stem_stride=self.settings.stem_stride,
        )
        # Convolutions of bfloat16 are quicker so on CPUs.
        model = model.to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore
        path, times = self._original_path(seed), self._original_path(seed).with_suffix(".json")
        if path.is_file() and times.is_file():
            model.load_state_dict(load_file(path))
            return model, json.loads(times.read_text(encoding="utf-8"))["seconds"]
        cell = Cell(Task("random", 0.0), seed, "retrain", masked=False)
        everything = self.data.train.to(self.device)
        nothing_left_out = Split(everything, everything, everything)
        start = time.process_time()
        recipe = recipe_of(self.settings, cell)
        model = self._unlearn(cell, model, nothing_left_out, recipe, None, tick)
        seconds = round(time.process_time() - start, 3)
        path.parent.mkdir(exist_ok=True)
        write_json(times, {"seconds": seconds, "recipe": asdict(recipe)})
        write_tensors(path, model.state_dict(), {})
        return model, seconds

    def _original_path(self, seed: int) -> Path:
        return self.out / ORIGINALS / f"seed{seed}.safetensors"
