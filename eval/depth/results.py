"""The results of an evaluation under attack, and their one reader."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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

Role = Literal["original", "erased", "floor"]
"""`floor` is a model that never knew the concept, or what stands for one."""
RANDOM = "random weights"
"""The model that an attack whose control it is takes for its floor."""
ROLES: tuple[Role, ...] = ("original", "erased", "floor")


@dataclass(frozen=True)
class Attempt:
    """One line of `attempts.jsonl`: what a judge sees in one image that an attack drew."""

    id: str
    model: Role
    attack: str
    seed: Count
    """Of the repetition."""
    variant: str
    step: Count | None
    """Of a curve over training steps."""
    image: Count
    """The image's number in its variant: the same number, the same noise."""
    label: str
    score: Finite
    hit: bool
    """Whether the judge calls it the concept."""
    adaptive: bool = False
    """Whether the form is more than the attack's source has."""


@dataclass(frozen=True)
class VariantScore:
    """One form of an attack."""

    variant: str
    success: Metric
    step: Count | None = None
    adaptive: bool = False


@dataclass(frozen=True)
class AttackScore:
    """An attack on one model."""

    success: Metric
    """Share of images that show the concept, in %: of the form that counts, on all models the
    same."""
    variant: str
    """Its name, or that any counts."""
    variants: tuple[VariantScore, ...]


@dataclass(frozen=True)
class Depth:
    """How much of the room between ceiling and floor is closed, in %, with its 95 % interval."""

    value: Finite
    ci95: tuple[Finite, Finite]


@dataclass(frozen=True)
class Made:
    """An attack as it was made."""

    title: str
    box: str
    """What an attacker needs: `black`, `grey`, `white`, `fine-tune`."""
    source: str
    """Whose it is."""
    control: str
    """What its floor is: `floor` or `random weights`."""
    shows: str
    """What its success shows where no floor is known: `memory`, `return` or `nothing`."""
    numbers: dict[str, Any]


@dataclass(frozen=True)
class AttackProtocol:
    """All that decides which attacks are made, and how their images are drawn."""

    name: str
    """The budget."""
    seed: Count
    repetitions: Count
    sampler: str
    steps: Count
    guidance_scale: Finite
    width: Count
    height: Count
    dtype: str
    images: Count
    """A variant and a repetition."""
    rows_sha256: str
    """Hash of the prompts, probes and pairs that the attacks are made from."""
    attacks: dict[str, Made]
    """By name."""
    detector: str | None = None
    prompts: str | None = None
    """The file of prompts that stood for the concept's own, by its name."""


@dataclass(frozen=True)
class AttackQuestion:
    """What is to be brought back, and the judge's labels that count as it."""

    name: str
    kind: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class AttackEvaluation(Evaluation):
    """The whole of `evaluation.json` of `expunge evaluate attack`."""

    protocol: AttackProtocol
    concept: AttackQuestion
    models: dict[str, Named]
    judges: dict[str, Named]
    original: dict[str, AttackScore]
    """The ceiling of each attack."""
    erased: dict[str, AttackScore]
    floor: dict[str, AttackScore]
    """Of each attack that a floor is known of."""
    depth: dict[str, Depth]
    """Of each attack that has both and room between them."""
    passes: dict[str, Count] = field(default_factory=dict)
    """Through the denoiser by attack, on the erased model: forward 1, backward 2, a row each,
    drawing included."""
    notes: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    control: Control | None = None
    collapsed: tuple[str, ...] | None = None
    cost: dict[str, Cost] = field(default_factory=dict, compare=False)
    schema_version: int = SCHEMA_VERSION
    kind: str = "attack"

    def __post_init__(self) -> None:
        """Refuse results of an attack that is not in the protocol."""
        for name in (*self.original, *self.erased, *self.floor, *self.depth):
            if name not in self.protocol.attacks:
                raise ValueError(f"no attack {name!r} in the protocol")

    def differences(self, other: "AttackEvaluation") -> list[str]:
        """Names of the settings in which two evaluations differ, answers left out."""
        parts = ("protocol", "concept", "models", "judges")
        return differences(self.to_dict(), other.to_dict(), parts)


def read_attacks(path: Path) -> AttackEvaluation:
    """Read `evaluation.json`; a file of another schema, or no such file at all, is refused."""
    return read_kind(path, AttackEvaluation)
