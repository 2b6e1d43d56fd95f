"""The recipes of erase/classification/recipes.py: each method tuned on a seed that is not reported.

    python -m benchmarks.classification_tuning --data /usr/share/datasets/fashion-mnist

Nine trials for each method without the mask, then nine with it, around the best rate without. The
best is the one with the smallest gap to Retrain in at most 15 % of its time. About an hour of one
core; finished trials are kept, and the same command goes on.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from benchmarks.classification import FASHION_MNIST
from benchmarks.common import table
from erase.classification.recipes import MethodName, Recipe
from erase.models.devices import resolve_device, resolve_dtype
from erase.run_folder.folder import write_json
from expunge.classification_benchmark.bench import Bench
from expunge.classification_benchmark.cells import Cell, Task, label
from expunge.classification_benchmark.data import read_data
from expunge.classification_benchmark.results import gap
from expunge.settings.classification import Classification

TASKS = (Task("random", 0.1), Task("random", 0.5), Task("class"))
METHODS: tuple[MethodName, ...] = ("ft", "ga", "l1_sparse", "rl")
SLOWEST = 0.15
"""Of Retrain's time; what takes longer is no alternative to it."""
RATES = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
FASTER, DENSITIES = (1.0, 1.5, 2.5), (0.25, 0.5, 0.8)


@dataclass(frozen=True)
class Options:
    """Flags."""

    out: Path = Path("runs/bench")
    """Folder of the results."""
    data: Path = FASHION_MNIST
    """Folder of Fashion-MNIST's four .gz files, as Debian's package installs them."""
    seed: int = 100
    """Seed to tune on; the benchmark's own are 0, 1 and 2."""


def unmasked(method: MethodName, task: Task) -> list[Recipe]:
    """Nine recipes of a method without the mask."""
    # Of half of the data Retrain is twice as quick, so what goes over all of it has fewer passes.
    half = task.share == 0.5
    mixed, ascent = (1, 2) if half else (2, 5)
    match method:
        case "ga":
            once = [Recipe(rate, 1) for rate in (0.01, 0.03, 0.1, 0.3)]
            return once + [Recipe(rate, ascent) for rate in (0.001, 0.003, 0.01, 0.03, 0.1)]
        case "l1_sparse":
            gammas = (1e-4, 3e-4, 1e-3)
            return [Recipe(rate, 2, gamma=g) for rate in (0.1, 0.2, 0.4) for g in gammas]
        case "rl":
            rates, alphas = (0.05, 0.1, 0.2), (1.0, 3.0, 9.0)
            return [Recipe(rate, mixed, alpha=a) for rate in rates for a in alphas]
        case _:
            return [Recipe(rate, 2) for rate in RATES]


def masked(best: Recipe) -> list[Recipe]:
    """Nine recipes with the mask, made of the best without."""
    return [replace(best, lr=best.lr * f, density=d) for f in FASTER for d in DENSITIES]


class Trials:
    """Recipes tried on one task, each in a file of its own."""

    def __init__(self, bench: Bench, task: Task, seed: int) -> None:
        """Retrain and the original are made first, if they are not there."""
        self.bench, self.task, self.seed = bench, task, seed
        retrain = Cell(task, seed, "retrain", masked=False)
        for cell in bench.missing([retrain]):
            bench.run(cell, lambda images: None)
        self.retrained = json.loads(bench.path(retrain).read_text(encoding="utf-8"))

    def best(self, method: MethodName, recipes: list[Recipe], *, masked: bool) -> dict[str, Any]:
        """The trial with the smallest gap among those that are quick enough, or the quickest."""
        cell = Cell(self.task, self.seed, "salun" if masked and method == "rl" else method, masked)
        tried = [self._try(cell, recipe) for recipe in recipes]
        quick = [trial for trial in tried if trial["time_share"] <= SLOWEST]
        return min(quick or tried, key=lambda trial: trial["gap"])

    def _try(self, cell: Cell, recipe: Recipe) -> dict[str, Any]:
        numbers = "-".join(f"{value:g}" for value in asdict(recipe).values())
        path = self.bench.out / "trials" / f"{cell.name}-{numbers}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
        found = self.bench.measure(cell, recipe, lambda images: None)
        found["gap"] = gap(found, self.retrained)
        found["time_share"] = found["seconds"] / self.retrained["seconds"]
        path.parent.mkdir(exist_ok=True)
        write_json(path, found)
        return found


def tune(options: Options) -> Iterator[dict[str, Any]]:
    """The best trial of each task and method, without the mask and with it."""
    out = options.out / "classification-tuning"
    settings = Classification(data=options.data, out=out, seeds=(options.seed,)).settle()
    out.mkdir(parents=True, exist_ok=True)
    device = resolve_device(settings.device)
    data = read_data(settings.dataset, settings.data, settings.train_images)
    bench = Bench(settings, data, out, device, resolve_dtype(settings.dtype, device))
    for task in TASKS:
        trials = Trials(bench, task, options.seed)
        for method in METHODS:
            plain = trials.best(method, unmasked(method, task), masked=False)
            yield plain
            yield trials.best(method, masked(Recipe(**plain["recipe"])), masked=True)


def main(options: Options) -> None:
    """Print one table: the best of nine of each."""
    rows = []
    for best in tqdm(tune(options), total=len(TASKS) * len(METHODS) * 2, unit="nine"):
        recipe = best["recipe"]
        scores = (f"{best[name]:.2f}" for name in ("ua", "ra", "ta", "mia", "gap"))
        knobs = (f"{recipe[name]:g}" for name in ("lr", "epochs", "gamma", "alpha", "density"))
        share = f"{100 * best['time_share']:.0f} %"
        rows.append([best["task"], label(best["variant"]), *knobs, *scores, share])
    head = ["task", "method", "rate", "epochs", "gamma", "alpha", "density"]
    head += ["UA", "RA", "TA", "MIA", "gap", "of Retrain's time"]
    sys.stdout.write(table(head, rows) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
