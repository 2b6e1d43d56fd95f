"""The results of an evaluation of a concept, and their one reader."""

from dataclasses import dataclass, field
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
from plumbing.record import Count, Finite


@dataclass(frozen=True)
class ConceptScores:
    """How one model fares, in UnlearnCanvas' words; None where it cannot be measured.

    ua: share of the forget prompts whose image is no longer the concept; ira, cra: accuracy on
    retained prompts in the concept's own domain and across domains; near: accuracy on the labels of
    its own domain that are nearest to it for the model's text encoder; substitute: share of the
    forget prompts whose image the judge names as something else, as surely as right images.
    """

    ua: Metric | None
    ira: Metric | None
    cra: Metric | None
    near: Metric | None = None
    substitute: Metric | None = None


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
    images: dict[str, Count]
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
class ConceptEvaluation(Evaluation):
    """The whole of `evaluation.json` of `expunge evaluate concept`."""

    protocol: ConceptProtocol
    concept: ConceptQuestion
    models: dict[str, Named]
    """name and sha256 of `original` and `erased`."""
    judges: dict[str, Named]
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
    sure: dict[str, Finite] = field(default_factory=dict)
    """By judge, the score from which an image counts for `substitute`: the highest that nine tenths
    of the original's own images reach. Empty where it was not measured."""
    cost: dict[str, Cost] = field(default_factory=dict, compare=False)
    schema_version: int = SCHEMA_VERSION
    kind: str = "concept"

    def differences(self, other: "ConceptEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        parts = ("protocol", "concept", "models", "judges")
        return differences(self.to_dict(), other.to_dict(), parts)


def read_evaluation(path: Path) -> ConceptEvaluation:
    """Read `evaluation.json`; a file of another schema, or no such file at all, is refused."""
    return read_kind(path, ConceptEvaluation)
