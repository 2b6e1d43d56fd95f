"""run.json as one type: what a run tells of itself. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from plumbing.inside import is_below
from plumbing.passes import Passes
from plumbing.record import Amount, Count, Finite, Name, Setting

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Concepts:
    """What is erased, several concepts as one."""

    name: str = ""
    kind: str = ""
    source: str = ""


@dataclass(frozen=True)
class Base:
    """The original model, as `models.locate` finds it again."""

    id: str
    revision: str | None = None
    variant: str | None = None
    config: str | None = None
    """Of a single file, as is `prediction_type`."""
    prediction_type: str | None = None
    digest: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 by name."""

    def __bool__(self) -> bool:
        """Whether it is told at all."""
        return bool(self.id)


@dataclass(frozen=True)
class Drawn:
    """Percent of `n` images of the original's that showed the concept before the training."""

    value: Finite
    n: Count
    ci95: tuple[Finite, Finite]


@dataclass(frozen=True)
class Training:
    """How the denoiser was trained; what the method computes is the same, rounding apart."""

    micro_batch: Count
    weights: str = ""
    checkpointing: bool = False
    teach_ahead: bool = False
    gigabytes: Mapping[str, Finite] = field(default_factory=dict)
    processes: Count = 1


@dataclass(frozen=True)
class Guard:
    """What the quality guard measured."""

    limit: Finite
    drift: tuple[tuple[Count, float | None], ...]
    """By step; of what is not finite JSON has no word but null, which older runs did not write."""


@dataclass(frozen=True)
class Stopped:
    """Why a training ended before its last step."""

    reason: Literal["drift", "not finite", "erased"]
    step: Count
    """After which it ended."""
    kept_step: Count
    """Whose weights the run has; 0: the original's."""
    steps: Count
    """How many were asked for."""
    told: str = ""

    def __post_init__(self) -> None:
        """Refuse weights of a step that was not reached."""
        if self.kept_step > self.step:
            raise ValueError("weights of a step that was not reached")

    def describe(self) -> str:
        """One line for people."""
        kept = f"the weights are those of step {self.kept_step}"
        kept = kept if self.kept_step else "the weights are the original's"
        return f"stopped after step {self.step} of {self.steps}: {self.told}; {kept}"


@dataclass(frozen=True)
class MaskPart:
    """How many weights of a part of the model a mask selects."""

    part: str
    kept: Count
    total: Count
    percent: Finite = 0.0


@dataclass(frozen=True)
class RunRecord:
    """The content of run.json; what a run does not tell, or not yet, has its default."""

    schema_version: int = SCHEMA_VERSION
    command: str = ""
    concepts: tuple[Name, ...] = ()
    """As they were given."""
    concept: Concepts = Concepts()
    config: Mapping[str, Setting] = field(default_factory=dict)
    """Every setting; which there are depends on the method."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Hashes of what the user gave: prompts, pictures, a mask."""
    base: Base = Base("")
    method: str | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    """The settings that the user chose."""
    drawn: Drawn | None = None
    training: Training | None = None
    guard: Guard | None = None
    stopped: Stopped | None = None
    mask: Mapping[str, Count | str] = field(default_factory=dict)
    """`kept` and `total`, numbers of weights, and what else the mask's file tells of itself."""
    sets: Mapping[str, Count] = field(default_factory=dict)
    """Number of images."""
    blocks: tuple[MaskPart, ...] = ()
    """The mask by block, and by kind of layer; `expunge mask` tells them."""
    kinds: tuple[MaskPart, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    """sha256 by name of a file in the folder."""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, Amount] = field(default_factory=dict)
    """By stage, over all attempts; of one that was killed, what was done up to the last saved state
    of its training, and else the stages that it ended."""
    passes: Mapping[str, Passes] = field(default_factory=dict)
    """Likewise, of all processes."""
    peak_memory_mb: Amount | None = None
    finished: str | None = None
    """When; None as long as it is not."""

    def __post_init__(self) -> None:
        """Refuse counts of a mask that are none, and names of files that lead out of the folder."""
        for name, value in self.mask.items():
            if isinstance(value, str) == (name in ("kept", "total")):
                raise ValueError(f"mask.{name}: a count for a text, or a text for a count")
        if not all(map(is_below, self.weights)):
            raise ValueError("weights: names a file outside the folder")

    @property
    def kept(self) -> int:
        """How many weights the mask selects."""
        return int(self.mask.get("kept", 0))

    @property
    def total(self) -> int:
        """How many it selects from."""
        return int(self.mask.get("total", 0))

    @property
    def name(self) -> str:
        """What was erased, for people."""
        return self.concept.name or " and ".join(self.concepts)

    @property
    def passed(self) -> bool:
        """Whether the run is what was asked for: its training was not taken back."""
        return self.stopped is None or self.stopped.reason == "erased"

    def missing(self, names: Sequence[str]) -> str | None:
        """The first of the fields named of which the run does not tell."""
        return next((name for name in names if not getattr(self, name)), None)
