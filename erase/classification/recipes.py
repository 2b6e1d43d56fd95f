"""Each method's tuned settings, by how much is forgotten."""

from dataclasses import dataclass
from typing import Literal

Scenario = Literal["random", "class"]
MethodName = Literal["retrain", "ft", "ga", "rl", "l1_sparse", "salun"]


@dataclass(frozen=True)
class Recipe:
    """How a method trains unless told otherwise."""

    lr: float
    epochs: int
    """Passes over what the method trains on: both sets, or one of them."""
    warmup: float = 0.0
    """Share of the steps in which the learning rate rises."""
    gamma: float = 0.0
    """Weight of l1-sparse's penalty."""
    alpha: float = 9.0
    """Weight of the retain set against random labels; where a tenth of the images is forgotten, 9
    makes all examples count alike."""
    density: float = 0.5
    """Share of the weights that a mask lets change."""


RETRAIN = Recipe(lr=0.1, epochs=20, warmup=0.15)
LARGE = 0.2
"""Forget shares from here on have their own recipes: Retrain is quicker, so others must be."""
# Tuned on Fashion-MNIST, seed 100, without and with the mask: benchmarks/classification_tuning.py.
_SMALL_SHARE = {
    "ft": (Recipe(0.2, 2), Recipe(0.5, 2, density=0.25)),
    "ga": (Recipe(0.3, 1), Recipe(0.45, 1, density=0.25)),
    "rl": (Recipe(0.05, 2), Recipe(0.075, 2)),
    "l1_sparse": (Recipe(0.2, 2, gamma=1e-4), Recipe(0.2, 2, gamma=1e-4, density=0.8)),
}
_LARGE_SHARE = {
    "ft": (Recipe(0.2, 2), Recipe(0.3, 2)),
    "ga": (Recipe(0.01, 2), Recipe(0.01, 2, density=0.8)),
    "rl": (Recipe(0.1, 1), Recipe(0.15, 1, density=0.8)),
    "l1_sparse": (Recipe(0.2, 2, gamma=3e-4), Recipe(0.3, 2, gamma=3e-4)),
}
_CLASS = {
    "ft": (Recipe(0.2, 2), Recipe(0.2, 2, density=0.25)),
    "ga": (Recipe(0.01, 1), Recipe(0.01, 1, density=0.25)),
    "rl": (Recipe(0.05, 2), Recipe(0.05, 2, density=0.8)),
    "l1_sparse": (Recipe(0.1, 2, gamma=3e-4), Recipe(0.1, 2, gamma=3e-4)),
}


def recipe(
    method: MethodName, *, masked: bool, scenario: Scenario = "random", share: float = 0.1
) -> Recipe:
    """The recipe of a method, with or without a mask, for a share at random or for a class."""
    if method == "retrain":
        return RETRAIN
    random = _LARGE_SHARE if share >= LARGE else _SMALL_SHARE
    recipes = _CLASS if scenario == "class" else random
    # Random labels under a mask are SalUn.
    return recipes["rl" if method == "salun" else method][masked]
