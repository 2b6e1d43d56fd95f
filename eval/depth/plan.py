"""Which attacks are made on which models, and what they cost."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.attack.attack import Attack, Budget
from eval.attack.attackable import Attackable
from eval.attack.known import PLAIN
from eval.depth.draw import Cell
from eval.depth.images import COUNT
from eval.depth.results import RANDOM
from eval.generation.generate import Drawing
from eval.generation.pair import OpenBar

ATTACKS_VERSION = 1
"""To be raised when an attack comes to other images by the same numbers."""


@dataclass(frozen=True)
class Subject:
    """A model to attack: its name, the hash of its files, and how to open it."""

    name: str
    sha256: str
    open: Callable[[], Attackable]


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    attacks: Sequence[Attack]
    budget: Budget
    repetitions: int
    images: int
    seed: int
    drawing: Drawing
    lessons: tuple[int, int] = (COUNT, COUNT)
    """Images of the concept and of other things that attacks learn from."""

    @property
    def made(self) -> list[Attack]:
        """The attacks, after the prompts alone."""
        return [PLAIN, *self.attacks]

    def cells(self, aim_hash: str) -> list[Cell]:
        """Every attack and repetition; `aim_hash` is of `images.hash_aim`."""
        return [
            self._cell(attack, seed, aim_hash)
            for attack in self.made
            for seed in range(self.seed, self.seed + self.repetitions)
        ]

    def _cell(self, attack: Attack, seed: int, aim_hash: str) -> Cell:
        numbers = attack.budgets[self.budget]
        told = [
            ATTACKS_VERSION,
            attack.name,
            numbers,
            seed,
            self.images,
            asdict(self.drawing),
            aim_hash,
        ]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return Cell(attack, numbers, seed, self.images, f"{attack.name}-{seed}-{digest}")


@dataclass(frozen=True)
class Under:
    """Who is attacked, and where the results go."""

    subjects: Mapping[str, Subject]
    """`original`, `erased`, perhaps `floor`, and `RANDOM`."""
    out: Path
    originals: Path
    """Where what other evaluations can use again is kept."""
    open_bar: OpenBar
    """Opens a bar of passes."""

    def folder(self, role: str) -> Path:
        """Where a subject's images are drawn."""
        if role == "erased":
            return self.out / "erased"
        digest = hashlib.sha256(self.subjects[role].sha256.encode()).hexdigest()
        return self.originals / f"attacks-{digest[:16]}"

    def jobs(self, cells: Sequence[Cell]) -> Iterator[tuple[str, Cell]]:
        """Each subject with each attack on it, in the order of the subjects."""
        for role in ("original", "erased", "floor", RANDOM):
            for cell in cells:
                floor = role in ("floor", RANDOM)
                if role in self.subjects and (not floor or floor_of(cell) == role):
                    yield role, cell


def floor_of(cell: Cell) -> str:
    """The subject that is a cell's floor."""
    return RANDOM if cell.attack.control == RANDOM else "floor"


def cost(cell: Cell, steps: int) -> int:
    """How many passes an attack takes: what it learns, and two a step of each image."""
    learned = cell.attack.passes(count=cell.count, sampler_steps=steps, **cell.numbers)
    return learned + cell.images * 2 * steps
