"""What a report is made of: the run as told by its run.json, and what its evaluations left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.rows import parsed, read_generations
from eval.kinds import KINDS
from eval.report.training_end import TrainingEnd
from plumbing.record import Count, Measured, parse_record
from plumbing.visible_text import is_explicit


@dataclass(frozen=True)
class MaskPart:
    """How many weights of a part of the model were selected."""

    part: str
    kept: int
    total: int


@dataclass(frozen=True)
class BaseModel:
    """The original model; an empty text for what is not known."""

    id: str = ""
    digest: str = ""
    revision: str | None = None
    variant: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 by name."""


@dataclass(frozen=True)
class RunFolder:
    """A run as the report is told of it; what is not known is None or empty."""

    folder: Path
    concept: str
    """What was erased."""
    command: str = "erase"
    """`erase` or `mask`; `evaluate` of a model that somebody else made, of which nothing but its
    evaluations is known."""
    method: str | None = None
    concepts: tuple[str, ...] = ()
    """The concepts as they were given."""
    base: BaseModel = BaseModel()
    config: Mapping[str, Any] = field(default_factory=dict)
    """Every setting."""
    prompts_sha256: str | None = None
    ended: TrainingEnd = field(default_factory=TrainingEnd)
    """How the training ended, if it was not at its last step."""
    mask: Mapping[str, int | str] = field(default_factory=dict)
    """`kept`, `total`, and what else the mask tells of itself."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """sha256 by name."""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage, as are the passes."""
    passes: Mapping[str, int] = field(default_factory=dict)
    """Through the denoiser."""
    peak_memory_mb: float | None = None
    finished: str | None = None
    commands: tuple[str, ...] = ()
    """Command lines that make the run anew, its evaluations left out."""
    blocks: tuple[MaskPart, ...] = ()
    """The mask by block, in the order of the data flow; empty if there is none."""
    kinds: tuple[MaskPart, ...] = ()
    """The mask by kind of layer."""

    @property
    def name(self) -> str:
        """The folder's own name: where it lies says nothing."""
        return self.folder.resolve().name

    @property
    def is_run(self) -> bool:
        """Whether it is a run folder, and not only the evaluations of somebody's model."""
        return self.command != "evaluate"

    @property
    def explicit(self) -> bool:
        """Whether the concept's name says that no image should be shown unasked."""
        return is_explicit([self.concept, *self.concepts])


@dataclass(frozen=True)
class Step:
    """One line of `train_log.jsonl`, as far as a chart needs it."""

    step: Count
    losses: Mapping[str, Measured | None]
    """By name; None where a training had diverged."""


@dataclass(frozen=True)
class RunData:
    """Everything that a page is rendered from; what is missing is None or empty."""

    run: RunFolder
    kinds: tuple[Kind, ...] = ()
    """The kinds of evaluation that were looked for."""
    measured: tuple[tuple[Kind, Measurement], ...] = ()
    """Those that were found."""
    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read, said on the page."""

    def find(self, kind: Kind) -> Measurement | None:
        """The run's evaluation of that kind."""
        return next((found for known, found in self.measured if known is kind), None)


def read_run_data(
    run: RunFolder, kinds: Sequence[Kind] = KINDS, places: Mapping[str, Path] | None = None
) -> RunData:
    """Read all that a run folder holds; UsageError for an evaluation that is not readable.

    `places` are the evaluations' folders by kind, by default those within the run's. Rows of JSONL
    files that are broken are left out, and `problems` says how many.
    """
    if places is None:
        places = {kind.name: run.folder / "eval" / kind.name for kind in kinds}
    problems: list[str] = []
    steps = tuple(parsed(run.folder / "train_log.jsonl", _step, problems))
    found = tuple(
        (kind, _measurement(kind, places[kind.name], problems, explicit=run.explicit))
        for kind in kinds
        if kind.name in places
    )
    measured = tuple((kind, measurement) for kind, measurement in found if measurement)
    return RunData(run, tuple(kinds), measured, steps, tuple(problems))


def _measurement(
    kind: Kind, place: Path, problems: list[str], *, explicit: bool
) -> Measurement | None:
    """None if there is no such file."""
    file = place / "evaluation.json"
    if not file.exists():
        return None
    evaluation = kind.read(file)
    rows = kind.read_rows(place, problems)
    return Measurement(evaluation, place, rows, read_generations(place, problems), explicit)


def _step(data: Mapping[str, Any]) -> Step:
    # Before methods had losses of their own there were two, each with a field.
    losses = data.get("losses") or {k: data[f"{k}_loss"] for k in ("forget", "retain")}
    return parse_record(Step, {"step": data["step"], "losses": losses})
