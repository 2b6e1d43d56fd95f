"""What a measure of quality is, and what it sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from eval.metrics.schema import Metric
from eval.quality.image_lines import ImageQuality

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Sight:
    """All that there is to measure; `original`, `erased` and `real` are there as far as given."""

    images: Sequence[ImageQuality]
    """A line a prompt."""
    files: Mapping[str, Sequence[Path]]
    """Image files by whose they are; both models' in the order of the prompts."""
    clip: Mapping[str, Features]
    """CLIP features of the files, [n, width], unit vectors."""
    inception: Mapping[str, Features] = field(default_factory=dict)
    """Inception features of the files, [n, 2048]; empty without `--fid`."""


@dataclass(frozen=True)
class Plan:
    """What is known before anything is drawn."""

    fewest: int
    """Images in the smallest set."""
    compared: bool
    """Whether there is an original, or real images."""
    clip_width: int
    published_inception: bool | None = None
    """Whether the FID's weights are those of the literature; None without `--fid`."""


@dataclass(frozen=True)
class Line:
    """One number of a measure: what tables call it, and how it comes about."""

    label: str
    measure: Callable[[Sight, str], Metric | None]
    """From what is seen and a model's name; None where that does not suffice."""


@dataclass(frozen=True)
class Measure:
    """A measure of quality: up to three numbers.

    A new measure is a file of its own that ends in such an object, and one line in `known.py`.
    """

    name: str
    """Its key in evaluation.json."""
    better: Literal["higher", "lower"]
    digits: int
    """How exactly it is shown."""
    alone: Line | None = None
    """Of one model's images by themselves."""
    change: Line | None = None
    """Of the erased model's images against the original's of the same prompts and seeds."""
    real: Line | None = None
    """Of one model's images against the real ones."""
    note: Callable[[Plan], str] = lambda _: ""
    """Why it is missing or means less than its name says; empty if all is well."""

    @property
    def of_model(self) -> Line | None:
        """What `original` and `erased` of evaluation.json have of it."""
        return self.alone or self.real
