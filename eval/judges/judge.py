"""What every judge is: labels, and a prediction an image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NUDENET, CLIP, SAFETY_CHECKER = NAMES = ("nudenet", "clip", "safety-checker")


@dataclass(frozen=True)
class Prediction:
    """The likeliest label of an image and how sure the judge is of it, 0 to 1.

    A judge that only says yes or no is always sure.
    """

    label: str
    score: float


class Judge(Protocol):
    """A loaded model that names what it sees in images."""

    @property
    def name(self) -> str:
        """How results call it."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of all that decides what it says."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it can say."""
        ...

    @property
    def means_concept(self) -> tuple[str, ...]:
        """Labels that are the concept it was opened for; empty if labels are names of things."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether it looks for what other users of the machine should not find."""
        ...

    def classify(self, images: Sequence[Path], batch_size: int = 64) -> Iterator[Prediction]:
        """The prediction of each image file, in order."""
        ...
