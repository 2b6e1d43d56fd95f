"""The schema of `evaluate quality`'s `evaluation.json`, and its reader; no torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from eval.metrics.schema import (
    SCHEMA_VERSION,
    Control,
    Metric,
    build,
    differences,
    parse_control,
    parse_metric,
    read_kind,
    reading,
)

T = TypeVar("T")


@dataclass(frozen=True)
class QualityScores:
    """One model by itself; the distances are to real images, None where they were not asked for."""

    clip_score: Metric
    """100 x cosine of each image and its prompt, its mean; higher is better."""
    cmmd: Metric | None = None
    kid: Metric | None = None
    frechet: Metric | None = None
    """Of CLIP features."""
    fid: Metric | None = None
    """The Frechet distance of 2048-d Inception features; None unless `--fid` asked for it."""


@dataclass(frozen=True)
class QualityChange:
    """The erased model's images against the original's of the same prompts and seeds."""

    clip_score: Metric
    """Erased minus original, the mean over the images."""
    similarity: Metric
    """100 x cosine of the two images of a prompt, its mean; 100 where nothing changed."""
    cmmd: Metric
    kid: Metric
    frechet: Metric | None
    fid: Metric | None = None


@dataclass(frozen=True)
class QualityProtocol:
    """All that decides which images are drawn, and from what noise."""

    prompts: str
    """Where they came from: `retain` (the concept's own) or the name of the user's file."""
    images: int
    seed: int
    sampler: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    dtype: str
    rows_sha256: str
    """Hash of every row: id, prompt and seed."""


@dataclass(frozen=True)
class QualityEvaluation:
    """The whole of `evaluation.json` of `expunge evaluate quality`."""

    protocol: QualityProtocol
    concepts: tuple[str, ...]
    """What was erased; prompts that name it are left out. Empty if nobody said."""
    models: dict[str, dict[str, str]]
    """name and sha256 of `original` and `erased`."""
    clip: dict[str, str]
    """name and sha256 of the CLIP model that all numbers hang on."""
    real: dict[str, str | int]
    """name, number and sha256 of the real images; empty without `--real`."""
    original: QualityScores | None
    erased: QualityScores | None
    change: QualityChange | None
    worst: tuple[str, ...] = ()
    """Ids of the images that changed most, the worst first."""
    notes: dict[str, str] = field(default_factory=dict)
    """Why a metric is missing or prompts are, by its name."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that drew and measured."""
    inception: dict[str, str] = field(default_factory=dict)
    """name and sha256 of the weights behind the FID; empty without `--fid`."""
    control: Control | None = None
    """None in files of older versions, as is what follows."""
    collapsed: tuple[str, ...] | None = None
    """What says that the erased model draws nothing in particular; empty if nothing does."""
    schema_version: int = SCHEMA_VERSION
    kind: str = "quality"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, schema and kind first."""
        data = json.loads(json.dumps(asdict(self)))
        return {key: data.pop(key) for key in ("schema_version", "kind")} | data

    def differences(self, other: "QualityEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        mine, theirs = self.to_dict(), other.to_dict()
        found = differences(mine, theirs, ("protocol", "models", "clip", "real", "inception"))
        return found + (["concepts"] if mine["concepts"] != theirs["concepts"] else [])


def read_quality(path: Path) -> QualityEvaluation:
    """Read `evaluation.json`; a file of another schema or kind, or no such file, is refused."""
    with reading(path):
        data = read_kind(path, "quality")
        parsed = {
            "protocol": build(QualityProtocol, data["protocol"]),
            "concepts": tuple(data["concepts"]),
            "worst": tuple(data["worst"]),
            "original": _metrics(QualityScores, data["original"]),
            "erased": _metrics(QualityScores, data["erased"]),
            "change": _metrics(QualityChange, data["change"]),
            **parse_control(data),
        }
        return build(QualityEvaluation, data | parsed)


def _metrics(kind: type[T], data: Mapping[str, Any] | None) -> T | None:
    if data is None:
        return None
    return build(kind, {name: parse_metric(metric) for name, metric in data.items()})
