"""What an attack is: from a model and an aim to variants, each a way to draw images anew."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from eval.attack.attackable import Attackable, Told

Box = Literal["black", "grey", "white", "fine-tune"]
"""What an attacker needs: prompts alone, the weights' forward passes, their gradients, training."""
Shows = Literal["memory", "return", "nothing"]
"""That the model remembers the concept, for nothing showed it pictures of it; that the concept
comes back, remembered or learned anew; or nothing, since models that never knew it do as much."""
Budget = Literal["demo", "quick", "standard", "published"]
Numbers = Mapping[str, Any]
"""What a budget settles, by the names of the attack's own keyword arguments."""


@dataclass(frozen=True)
class Aim:
    """What is to be brought back, and what an attacker has to learn it from."""

    name: str
    """The concept's name."""
    words: str
    """How prompts name it: "church", "van gogh"."""
    templates: tuple[str, ...]
    """Prompts with `{}` where the concept's words go."""
    prompts: tuple[str, ...]
    """Prompts that name the concept."""
    probes: tuple[str, ...]
    """Other ways to ask for it, that nothing was trained on."""
    pairs: tuple[tuple[str, str], ...]
    """The same prompt with the concept and without."""
    images: tuple[Path, ...]
    """Images of the concept, drawn by the original."""
    captions: tuple[str, ...]
    """The prompt of each."""
    others: tuple[Path, ...]
    """Images that do not show the concept, drawn by the original."""
    other_captions: tuple[str, ...]
    """The prompt of each."""
    original: Attackable
    """The model before the erasure."""


@dataclass(frozen=True)
class Kit:
    """What the runner gives an attack besides the model."""

    seed: int
    count: int
    """Images a variant."""
    states: Path
    """A folder for what is learned half-way, so that a killed attack resumes."""
    progress: Callable[[int], object] = lambda passes: None
    """Told how many passes through the denoiser were done: forward 1, backward 2, a row each."""

    def seeds(self) -> list[int]:
        """A seed an image, apart from those of other repetitions."""
        return [seed_of(self.seed, number) for number in range(self.count)]

    def take(self, values: Sequence[Any]) -> list[Any]:
        """A value an image, in turn; another repetition begins with others."""
        start = self.seed * self.count
        return [values[(start + number) % len(values)] for number in range(self.count)]


@dataclass(frozen=True)
class Variant:
    """One form of an attack that is ready to draw."""

    name: str
    told: Told
    """Of as many prompts as images."""
    prompts: Sequence[str]
    """For people: what each image was drawn from."""
    model: Attackable
    """What draws: the model under attack, or a copy that was trained."""
    latents: Tensor | None = None
    """What drawing begins with; None: noise."""
    first: int = 0
    """The sampler's step to begin with."""
    learned: Mapping[str, Tensor] = field(default_factory=dict)
    """What to keep of it."""
    step: int | None = None
    """Of a curve over training steps."""
    current: bool = True
    """Whether it is what `step` steps learn; else a killed attack had gone further, and has drawn
    it before."""
    adaptive: bool = False
    """Whether it is more than its source's form: another start, more vectors, other latents."""


@dataclass(frozen=True)
class Attack:
    """An attack: a file of its own that ends in such an object, and one line in `known`."""

    name: str
    title: str
    box: Box
    source: str
    """Whose it is."""
    budgets: Mapping[Budget, Numbers]
    """By budget; `demo` only where a minute is enough."""
    run: Callable[..., Iterator[Variant]]
    """`run(model, aim, kit, **numbers)`."""
    passes: Callable[..., int]
    """`passes(count=, sampler_steps=, **numbers)`: through the denoiser, besides drawing."""
    variants: Callable[..., int]
    """`variants(**numbers)`: how many are drawn."""
    any_counts: bool = False
    """Whether an image counts if any variant succeeds, as where an attacker stops at success;
    else the worst variant counts."""
    control: Literal["floor", "random weights"] = "floor"
    """What its success is compared with from below."""
    shows: Shows = "memory"
    """What its success shows where no floor is known."""


def seed_of(*told: object) -> int:
    """A seed of 32 bits: of a longer one torch's generator for CPUs takes the lowest alone."""
    return int.from_bytes(hashlib.sha256(repr(told).encode()).digest()[:4])


def turns(values: Sequence[Any], count: int) -> list[Any]:
    """`count` of the values, in turn."""
    return [values[i % len(values)] for i in range(count)]
