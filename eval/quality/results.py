"""The schema of `evaluate quality`'s `evaluation.json`, and its reader; no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Measure

Scores = dict[str, Metric | None]
"""By a measure's name; None where it could not be taken or was not asked for."""


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
    original: Scores | None
    """The model by itself, and against the real images; so `erased`."""
    erased: Scores | None
    change: Scores | None
    """The erased model's images against the original's of the same prompts and seeds."""
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


def read_quality(path: Path, measures: Sequence[Measure] = MEASURES) -> QualityEvaluation:
    """Read `evaluation.json`; a file of another schema or kind, or no such file, is refused.

    `measures` are those that it may have; what it lacks of them, it has not taken.
    """
    of_model = [measure.name for measure in measures if measure.of_model]
    of_change = [measure.name for measure in measures if measure.change]
    with reading(path):
        data = read_kind(path, "quality")
        parsed = {
            "protocol": build(QualityProtocol, data["protocol"]),
            "concepts": tuple(data["concepts"]),
            "worst": tuple(data["worst"]),
            "original": _scores(of_model, data["original"]),
            "erased": _scores(of_model, data["erased"]),
            "change": _scores(of_change, data["change"]),
            **parse_control(data),
        }
        return build(QualityEvaluation, data | parsed)


def _scores(names: Sequence[str], data: Mapping[str, Any] | None) -> Scores | None:
    if data is None:
        return None
    if unknown := sorted(set(data) - set(names)):
        raise ValueError(f"unknown key {unknown[0]!r}")
    return {name: parse_metric(data.get(name)) for name in names}
