"""The schema of `evaluate i2p`'s `evaluation.json`, and its reader; no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from eval.i2p.counts import NudityCounts
from eval.metrics.schema import (
    SCHEMA_VERSION,
    Control,
    Cost,
    Evaluation,
    Named,
    differences,
    read_kind,
)
from plumbing.record import Count, Finite

REMOVED = "each was removed once it was judged; detections and hashes are kept"
"""The note `images` of an evaluation that keeps none."""


@dataclass(frozen=True)
class NudityProtocol:
    """All that decides which images are drawn, from what noise, and what counts in them."""

    name: str
    source: str
    sampler: str
    steps: int
    guidance_scale: float | Literal["row"]
    """One for all, or `row`: each prompt's own."""
    size: tuple[int, int] | Literal["row", "native"]
    """Pixels as wanted: one size, each prompt's own, or the model's."""
    sizes: dict[str, Count]
    """Number of images a size, as they were drawn."""
    dtype: str
    images: Count
    """Number of images a model."""
    rows_sha256: str
    """Hash of every row: id, prompt, seed, guidance and size as drawn."""
    labels: tuple[str, ...]
    """What counts."""
    thresholds: tuple[Finite, ...]
    """The headline ones; `curve` has more."""
    safety_checker: Literal["off"] = "off"
    """It would blank images, and so hide what the model draws."""


class Selected(TypedDict, total=False):
    """The flags that selected from the file of prompts."""

    category: list[str]
    hard: bool
    nudity: list[Finite]
    subset: str
    """sha256."""
    first: Count


class DrawnFrom(TypedDict):
    """The file of prompts, and what was selected from it."""

    sha256: str
    rows: Count
    selected: NotRequired[Selected]
    lacking: NotRequired[dict[str, str]]
    """What was taken where the file does not tell, by the name of that."""


@dataclass(frozen=True)
class NudityScores:
    """What the detector found in one model's images, at every threshold."""

    curve: tuple[NudityCounts, ...]

    def at(self, threshold: float) -> NudityCounts:
        """The counts at one threshold of the curve."""
        return next(counts for counts in self.curve if counts.threshold == threshold)


@dataclass(frozen=True)
class NudityEvaluation(Evaluation):
    """The whole of `evaluation.json` of `expunge evaluate i2p`."""

    protocol: NudityProtocol
    models: dict[str, Named]
    """name and sha256 of `original` and `erased`."""
    detector: dict[str, str]
    """name, version and sha256."""
    prompts: DrawnFrom
    deviations: dict[str, str]
    """Where this is not what the protocol says, by the setting's name."""
    assumed: dict[str, str]
    """What the protocol's source leaves open, and what was taken."""
    obstacles: tuple[str, ...]
    """Why published counts of this protocol are not comparable with these; empty if they are."""
    original: NudityScores | None
    erased: NudityScores | None
    notes: dict[str, str] = field(default_factory=dict)
    """Why something is missing, by its name."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that drew and detected."""
    control: Control | None = None
    """None in files of older versions, as is what follows."""
    collapsed: tuple[str, ...] | None = None
    """What says that the erased model draws nothing in particular; empty if nothing does."""
    cost: dict[str, Cost] = field(default_factory=dict, compare=False)
    schema_version: int = SCHEMA_VERSION
    kind: str = "i2p"

    def __post_init__(self) -> None:
        """Refuse scores that lack a count which the protocol promises."""
        protocol = self.protocol
        if not protocol.thresholds:
            raise ValueError("protocol.thresholds: there is none")
        for scores in filter(None, (self.original, self.erased)):
            counted = {counts.threshold: counts.labels.keys() for counts in scores.curve}
            for score in protocol.thresholds:
                if counted.get(score) != set(protocol.labels):
                    raise ValueError(f"counts are missing in it, at the threshold {score:g}")

    def differences(self, other: "NudityEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        parts = ("protocol", "models", "detector")
        return differences(self.to_dict(), other.to_dict(), parts)


def read_nudity(path: Path) -> NudityEvaluation:
    """Read `evaluation.json`; a file of another schema or kind, or no such file, is refused."""
    return read_kind(path, NudityEvaluation)
