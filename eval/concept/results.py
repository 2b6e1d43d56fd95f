"""The results of an evaluation of a concept, and their one reader."""

import json
from collections.abc import Mapping
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


@dataclass(frozen=True)
class ConceptScores:
    """How one model fares, in UnlearnCanvas' words; None where it cannot be measured.

    ua: share of the forget prompts whose image is no longer the concept; ira, cra: accuracy on
    retained prompts in the concept's own domain and across domains.
    """

    ua: Metric | None
    ira: Metric | None
    cra: Metric | None


@dataclass(frozen=True)
class ConceptProtocol:
    """All that decides which images are drawn, and from what noise."""

    name: str
    seed: int
    sampler: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    dtype: str
    images: dict[str, int]
    """Number of images a split."""
    rows_sha256: str
    """Hash of every row: id, split, prompt, seed and expected labels."""
    detector: str | None = None
    """The `--detector` that was asked for; None if the judges were chosen by the concept."""


@dataclass(frozen=True)
class ConceptQuestion:
    """What was erased, and the judge's labels that count as it."""

    name: str
    kind: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ConceptEvaluation:
    """The whole of `evaluation.json` of `expunge evaluate concept`."""

    protocol: ConceptProtocol
    concept: ConceptQuestion
    models: dict[str, dict[str, str]]
    """name and sha256 of `original` and `erased`."""
    judges: dict[str, dict[str, str]]
    """name and sha256 of the classifier a domain: `object`, `style`."""
    original: ConceptScores | None
    erased: ConceptScores
    notes: dict[str, str] = field(default_factory=dict)
    """Why a metric is missing, by its name."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries that drew and judged."""
    control: Control | None = None
    """None where ira or cra tells the same better, and in files of older versions."""
    collapsed: tuple[str, ...] | None = None
    """What says that the erased model draws nothing right; None in files of older versions."""
    schema_version: int = SCHEMA_VERSION
    kind: str = "concept"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, schema and kind first."""
        data = json.loads(json.dumps(asdict(self)))
        return {key: data.pop(key) for key in ("schema_version", "kind")} | data

    def differences(self, other: "ConceptEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        parts = ("protocol", "concept", "models", "judges")
        return differences(self.to_dict(), other.to_dict(), parts)


def read_evaluation(path: Path) -> ConceptEvaluation:
    """Read `evaluation.json`; a file of another schema, or no such file at all, is refused."""
    with reading(path):
        data = read_kind(path, "concept")
        original, concept = data["original"], data["concept"]
        parsed = {
            "protocol": build(ConceptProtocol, data["protocol"]),
            "concept": build(ConceptQuestion, {**concept, "labels": tuple(concept["labels"])}),
            "original": None if original is None else _scores(original),
            "erased": _scores(data["erased"]),
            **parse_control(data),
        }
        return build(ConceptEvaluation, data | parsed)


def _scores(data: Mapping[str, Any]) -> ConceptScores:
    return ConceptScores(**{name: parse_metric(data[name]) for name in ("ua", "ira", "cra")})
