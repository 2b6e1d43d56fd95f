"""An evaluation of a run with what lies beside it, as a kind's functions are given it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.kind.rows import Generations


@dataclass(frozen=True)
class Measurement:
    """One evaluation of a run."""

    evaluation: Any
    """An `Evaluation`, with the fields that only its kind knows."""
    place: Path
    """Its folder."""
    rows: Any = ()
    """What the kind's `read_rows` found in it."""
    generations: Generations = field(default_factory=dict)
    """What was drawn."""
    explicit: bool = False
    """Whether the run's concept says that no image should be shown unasked."""
