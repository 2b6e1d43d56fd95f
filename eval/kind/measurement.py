"""An evaluation of a run with what lies beside it, as a kind's functions are given it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from eval.kind.rows import Generations
from eval.metrics.schema import Control, Named


class Drawn(Protocol):
    """How an evaluation was made, as far as every report says it."""

    @property
    def rows_sha256(self) -> str:
        """Hash of all that was drawn."""
        ...

    @property
    def images(self) -> int | Mapping[str, int]:
        """Number of images a model, maybe by split."""
        ...


class Evaluation(Protocol):
    """What the evaluation.json of any kind holds for the report; the rest is the kind's own."""

    @property
    def protocol(self) -> Drawn:
        """How it was made."""
        ...

    @property
    def models(self) -> Mapping[str, Named]:
        """Name and sha256 of `original` and `erased`."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Why something is missing, by its name."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the libraries that drew and measured."""
        ...

    @property
    def control(self) -> Control | None:
        """What control images show, if there are any."""
        ...

    @property
    def collapsed(self) -> Sequence[str] | None:
        """What says that the erased model draws nothing right."""
        ...


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
