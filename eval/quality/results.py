"""The schema of `evaluate quality`'s `evaluation.json`, and its reader; no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eval.metrics.schema import (
    SCHEMA_VERSION,
    Control,
    Cost,
    Evaluation,
    Metric,
    Named,
    differences,
    read_kind,
)
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Measure
from plumbing.errors import UsageError
from plumbing.record import Count

Scores = dict[str, Metric | None]
"""By a measure's name; None where it could not be taken or was not asked for."""


@dataclass(frozen=True)
class QualityProtocol:
    """All that decides which images are drawn, and from what noise."""

    prompts: str
    """Where they came from: `retain` (the concept's own) or the name of the user's file."""
    images: Count
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
class QualityEvaluation(Evaluation):
    """The whole of `evaluation.json` of `expunge evaluate quality`."""

    protocol: QualityProtocol
    concepts: tuple[str, ...]
    """What was erased; prompts that name it are left out. Empty if nobody said."""
    models: dict[str, Named]
    """name and sha256 of `original` and `erased`."""
    clip: dict[str, str]
    """name and sha256 of the CLIP model that all numbers hang on."""
    real: dict[str, str | Count]
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
    cost: dict[str, Cost] = field(default_factory=dict, compare=False)
    schema_version: int = SCHEMA_VERSION
    kind: str = "quality"

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
    found = read_kind(path, QualityEvaluation)
    return replace(
        found,
        original=_scores(path, of_model, found.original),
        erased=_scores(path, of_model, found.erased),
        change=_scores(path, of_change, found.change),
    )


def _scores(path: Path, names: Sequence[str], found: Scores | None) -> Scores | None:
    if found is None:
        return None
    if unknown := sorted(found.keys() - set(names)):
        raise UsageError(f"{path} is not a readable evaluation: unknown key {unknown[0]!r}")
    return {name: found.get(name) for name in names}
