"""A closed form that only the tests know: weaker values of cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from erase.methods.method import ClosedForm
from erase.models.bundle import Bundle
from expunge.settings.checks import require
from expunge.settings.groups import shown
from expunge.settings.methods import MethodEntry
from prompts.concept import ConceptSpec


@dataclass(frozen=True)
class DampingFlags:
    """How much is taken away."""

    damping: Annotated[float | None, shown("FLOAT", 0.25)] = None
    """Share of each value that goes."""
    seed: int = 0
    """Nothing is drawn at random."""

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        require(self.damping is None or 0 < self.damping <= 1, "--damping must be in (0, 1]")


@dataclass(frozen=True)
class Damping:
    """The same, settled."""

    damping: float
    seed: int


def edit(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    concept: ConceptSpec,
    *,
    damping: float,
) -> dict[str, Tensor]:
    """The value projections, each (1 - damping) times as large."""
    assert concept.forget_prompts
    chosen = {name: p for name, p in parameters.items() if ".to_v." in name}
    return {name: (1 - damping) * p.detach().float() for name, p in chosen.items()}


METHOD = ClosedForm("damping", edit)
ENTRY = MethodEntry("support.example_damping", DampingFlags, Damping, {"damping": 0.25}, {})
