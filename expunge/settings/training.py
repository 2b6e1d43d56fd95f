"""What every trained method is told: how weights are chosen, and how they are trained.

Flags, of which those that are None were not given, and the same settled: two types each.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from expunge.settings.checks import apart, at_least, positive, require, require_seed
from expunge.settings.groups import shown

TrainMethod = Literal[
    "full", "xattn", "kv", "noxattn", "noxattn-layers", "selfattn", "transformers"
]
Schedule = Literal["constant", "linear"]
MaskKind = Literal["saliency", "contrastive", "random", "none"]


@dataclass(frozen=True)
class CommonFlags:
    """What every method that trains is told, and a mask alone."""

    preset: Annotated[str | None, shown("NAME", "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    train_method: Annotated[TrainMethod | None, shown(TrainMethod, "xattn")] = None
    """Which weights may change: all, only cross-attention, only its keys and values, all but
    cross-attention, the same without norms, only self-attention, only transformer blocks."""
    batch_size: Annotated[int | None, shown("INT", 16)] = None
    """Images in a step; of two sets, as many of each."""
    seed: int = 0
    """Seed of everything that is drawn at random."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        at_least("--batch-size", self.batch_size, 1)
        require_seed(self.seed)


@dataclass(frozen=True)
class Common:
    """The same, every number settled."""

    preset: str | None
    train_method: TrainMethod
    batch_size: int
    seed: int


@dataclass(frozen=True)
class SaliencyFlags(CommonFlags):
    """How the weights that may change are chosen."""

    density: Annotated[float | None, shown("FLOAT", 0.5)] = None
    """Share of them that may change, the most salient ones; above 0 and up to 1."""
    saliency_guidance: Annotated[float | None, shown("FLOAT", 7.5)] = None
    """Guidance of the prediction in the saliency loss; 0: the plain conditional one."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        require(
            self.density is None or 0 < self.density <= 1,
            f"--density must be above 0 and at most 1, not {self.density}",
        )
        at_least("--saliency-guidance", self.saliency_guidance, 0)


@dataclass(frozen=True)
class Saliency(Common):
    """The same, every number settled."""

    density: float
    saliency_guidance: float


@dataclass(frozen=True)
class LoopFlags(CommonFlags):
    """How a method trains."""

    steps: Annotated[int | None, shown("INT", 100)] = None
    """Training steps."""
    lr: Annotated[float | None, shown("FLOAT", "the model's own, else 1e-05")] = None
    """Learning rate of Adam."""
    lr_schedule: Annotated[Schedule | None, shown(Schedule, "constant")] = None
    """Keep the learning rate, or let it fall to 0 in a straight line."""
    micro_batch: Annotated[int | None, shown("INT", "as the free memory allows")] = None
    """Images of a step's batch in one pass; a step takes as many passes as make it up."""
    compile: bool = False
    """Let torch.compile make the training's passes: it takes minutes at first, each step less time
    then. Needs a C++ compiler on a CPU."""
    until_erased: bool = False
    """End as soon as the concept's judge finds it in none of 32 images, drawn every tenth step."""
    no_guard: bool = False
    """Do not end, and go back, when the predictions for other prompts drift too far."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        at_least("--steps", self.steps, 1)
        positive("--lr", self.lr)
        at_least("--micro-batch", self.micro_batch, 1)


@dataclass(frozen=True)
class Loop(Common):
    """The same, every number settled."""

    steps: int
    lr: float
    lr_schedule: Schedule
    micro_batch: int | None
    """None: as the free memory allows."""
    compile: bool
    until_erased: bool
    no_guard: bool


@dataclass(frozen=True)
class TrainingFlags(LoopFlags, SaliencyFlags):
    """How a method trains the weights that were chosen."""

    mask: Annotated[Path | None, shown("FILE", "build one")] = None
    """Reuse this mask.safetensors of the same model instead of building one."""
    mask_kind: MaskKind = "saliency"
    """How weights are chosen: by their saliency for the forget set, by that in terms of their
    saliency for the retain set (`contrastive`), at random, or not at all: all are trained."""

    def __post_init__(self) -> None:
        """Refuse values out of range and flags that exclude each other."""
        super().__post_init__()
        for flag, value in (
            ("--density", self.density),
            ("--train-method", self.train_method),
            ("--saliency-guidance", self.saliency_guidance),
        ):
            apart("--mask", self.mask, flag, value)
        other = None if self.mask_kind == "saliency" else self.mask_kind
        apart("--mask", self.mask, "--mask-kind", other)
        require(
            self.mask_kind != "none" or self.density is None,
            "--mask-kind none trains every weight, so --density cannot be given beside it",
        )


@dataclass(frozen=True)
class Training(Loop, Saliency):
    """The same, every number settled."""

    mask: Path | None
    """A given one decides density and train_method instead of the settings."""
    mask_kind: MaskKind

    @property
    def by_saliency(self) -> bool:
        """Whether the weights are chosen by what the images to forget say."""
        chosen = self.mask_kind in ("saliency", "contrastive")
        return self.mask is None and chosen and self.density < 1

    @property
    def by_contrast(self) -> bool:
        """Whether what the retained images say has a part in it."""
        return self.by_saliency and self.mask_kind == "contrastive"
