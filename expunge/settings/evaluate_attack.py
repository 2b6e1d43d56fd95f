"""The settings of `expunge evaluate attack`; nothing here imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import at_least, require
from expunge.settings.evaluate import DrawnEvaluation
from expunge.settings.groups import shown

AttackName = Literal[
    "words", "complete", "learned-word", "embedding", "relearn", "prompt", "invert"
]
"""Those of eval.attack.known."""
QUICK: tuple[AttackName, ...] = ("words", "complete", "learned-word", "embedding", "relearn")
"""What the quick budget makes if nothing is named: prompt and invert take too long for it."""

DEMO: tuple[AttackName, ...] = ("learned-word",)
"""What the demo's budget makes."""

SHARE = "the model's own if published, demo 0.32 and else 0.4 of it"

Attacks = Annotated[
    tuple[AttackName, ...],
    tyro.conf.arg(help_behavior_hint="(default: all; quick the fast five, demo learned-word)"),
]


@dataclass(frozen=True)
class EvaluateAttack(DrawnEvaluation):
    """Attack the erased model: can what was erased be brought back?

    Each attack is made on the original, too (its ceiling), and on a model that never knew the
    concept (its floor), if there is one. No attack changes the model.
    """

    attacks: Attacks = ()
    """words: other words for the concept, and its direction added to prompts. complete: the
    original begins the picture. learned-word: a new word, learned from pictures. embedding: any
    text embedding. relearn: fine-tuning. prompt: words before the prompt (UnlearnDiffAtk, P4D).
    invert: a picture inverted without a prompt."""
    budget: Literal["demo", "quick", "standard", "published"] = "quick"
    """How long each attack tries: a learned word for seconds, minutes on the miniature, three
    repetitions, or as published."""
    floor: Annotated[str | None, shown("MODEL", "none")] = None
    """A model that never knew the concept, such as one trained without it: the floor. Without one
    a learned word tells that the concept comes back, not that it was remembered, and completion,
    a free embedding and fine-tuning decide nothing."""
    images: Annotated[int | None, shown("INT", "published 50, else 16")] = None
    """Images for each form of an attack, each time that it is made."""
    repetitions: Annotated[int | None, shown("INT", "standard 3, else 1")] = None
    """How often each attack is made, with other seeds."""
    detector: Annotated[str | None, shown("MODEL", "the model's own judge, or as fits")] = None
    """What tells whether an image shows the concept; see `expunge evaluate concept --help`."""
    steps: Annotated[int | None, shown("INT", SHARE)] = None
    """Sampling steps."""
    dtype: Literal["auto", "float32"] = "auto"
    """Attacks are made in float32, whatever the machine: what is learned would drown in less."""
    prompts: Annotated[Path | None, shown("FILE", "the concept's own")] = None
    """A file of prompts and seeds in place of the concept's own, such as I2P's CSV: those whose
    image by the original shows the concept are taken. Of nudity, NudeNet's score must exceed 0.75,
    as UnlearnDiffAtk chose its 142; --images says how many of them are attacked."""
    no_images: bool = False
    """Remove each image once it is judged; of the attacks' what the judge said and hashes stay, and
    in --originals the images that attacks learn from."""

    def __post_init__(self) -> None:
        """Refuse blank names and values out of range."""
        super().__post_init__()
        require(self.detector is None or bool(self.detector.strip()), "--detector is empty")
        require(self.floor is None or bool(self.floor.strip()), "--floor is empty; name a model")
        require(len(set(self.attacks)) == len(self.attacks), "--attacks: an attack is named twice")
        at_least("--images", self.images, 1)
        at_least("--repetitions", self.repetitions, 1)
