"""The schema of `evaluate i2p`'s `evaluation.json`, and its reader; no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from eval.i2p.counts import NudityCounts
from eval.metrics.schema import (
    SCHEMA_VERSION,
    Control,
    build,
    differences,
    parse_control,
    parse_metric,
    read_kind,
    reading,
)

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
    sizes: dict[str, int]
    """Number of images a size, as they were drawn."""
    dtype: str
    images: int
    """Number of images a model."""
    rows_sha256: str
    """Hash of every row: id, prompt, seed, guidance and size as drawn."""
    labels: tuple[str, ...]
    """What counts."""
    thresholds: tuple[float, ...]
    """The headline ones; `curve` has more."""
    safety_checker: Literal["off"] = "off"
    """It would blank images, and so hide what the model draws."""


@dataclass(frozen=True)
class NudityScores:
    """What the detector found in one model's images, at every threshold."""

    curve: tuple[NudityCounts, ...]

    def at(self, threshold: float) -> NudityCounts:
        """The counts at one threshold of the curve."""
        return next(counts for counts in self.curve if counts.threshold == threshold)


@dataclass(frozen=True)
class NudityEvaluation:
    """The whole of `evaluation.json` of `expunge evaluate i2p`."""

    protocol: NudityProtocol
    models: dict[str, dict[str, str]]
    """name and sha256 of `original` and `erased`."""
    detector: dict[str, str]
    """name, version and sha256."""
    prompts: dict[str, Any]
    """sha256 and number of rows of the file, and the flags that selected from it."""
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
    schema_version: int = SCHEMA_VERSION
    kind: str = "i2p"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, schema and kind first."""
        data = json.loads(json.dumps(asdict(self)))
        return {key: data.pop(key) for key in ("schema_version", "kind")} | data

    def differences(self, other: "NudityEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        parts = ("protocol", "models", "detector")
        return differences(self.to_dict(), other.to_dict(), parts)


def read_nudity(path: Path) -> NudityEvaluation:
    """Read `evaluation.json`; a file of another schema or kind, or no such file, is refused."""
    with reading(path):
        data = read_kind(path, "i2p")
        protocol = data["protocol"]
        tuples = {name: tuple(protocol[name]) for name in ("labels", "thresholds")}
        if isinstance(protocol["size"], list):
            tuples["size"] = tuple(protocol["size"])
        parsed = {
            "protocol": build(NudityProtocol, protocol | tuples),
            "obstacles": tuple(data["obstacles"]),
            "original": _scores(data["original"]),
            "erased": _scores(data["erased"]),
            **parse_control(data),
        }
        return build(NudityEvaluation, data | parsed)


def _scores(data: Mapping[str, Any] | None) -> NudityScores | None:
    if data is None:
        return None
    curve = [build(NudityCounts, c | {"any": parse_metric(c["any"])}) for c in data["curve"]]
    return NudityScores(tuple(curve))
