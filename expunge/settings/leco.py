"""LECO's settings: flags, settled numbers, our defaults, and what its author published."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from expunge.settings import trajectories
from expunge.settings.checks import at_least, positive
from expunge.settings.groups import shown
from expunge.settings.trajectories import Followed, TrajectoryFlags

PresetName = Literal["leco"]

DEFAULTS: dict[str, Any] = {
    **trajectories.DEFAULTS,
    "train_method": "transformers",
    "batch_size": 8,
    "steps": 100,
    "lr": 1e-4,
    "lr_schedule": "constant",
    "weight_decay": 0.01,
    "rank": 4,
    "alpha": 1.0,
    "eta": 1.0,
    # The guard's.
    "retain_images": 8,
}
RATE = 2.0
"""Of what a small model recommends for its own weights."""

PRESETS: dict[str, dict[str, Any]] = {
    # The example of its README, on transformer blocks ("lierla"), with AdamW as torch has it.
    "leco": {
        "train_method": "transformers",
        "batch_size": 2,
        "steps": 500,
        "lr": 1e-4,
        "lr_schedule": "constant",
        "weight_decay": 0.01,
        "rank": 4,
        "alpha": 1.0,
        "eta": 1.0,
        "prompts": "name",
        "trajectory_steps": 50,
        "trajectory_guidance": 3.0,
    },
}


@dataclass(frozen=True)
class LecoFlags(TrajectoryFlags):
    """How a LoRA learns to lead away from the concept; it needs no images, and takes no mask."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    batch_size: Annotated[int | None, shown("INT", DEFAULTS["batch_size"])] = None
    """Noised latents in a step."""
    lr: Annotated[float | None, shown("FLOAT", "by the model's own, else 1e-04")] = None
    """Learning rate of AdamW."""
    rank: Annotated[int | None, shown("INT", DEFAULTS["rank"])] = None
    """Of the LoRA, in every linear and convolution layer of the weights that may change."""
    alpha: Annotated[float | None, shown("FLOAT", DEFAULTS["alpha"])] = None
    """The LoRA counts alpha / rank times: a smaller one slows its learning."""
    weight_decay: Annotated[float | None, shown("FLOAT", DEFAULTS["weight_decay"])] = None
    """AdamW's, of the LoRA's factors."""
    eta: Annotated[float | None, shown("FLOAT", DEFAULTS["eta"])] = None
    """How far from the concept the target lies: what guidance of as much would add is taken off."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        at_least("--rank", self.rank, 1)
        positive("--alpha", self.alpha)
        at_least("--weight-decay", self.weight_decay, 0)
        at_least("--eta", self.eta, 0)


@dataclass(frozen=True)
class Leco(Followed):
    """The same, every number settled."""

    rank: int
    alpha: float
    weight_decay: float
    eta: float
    # All weights of a layer change together: there is no mask to be built or given.
    density: ClassVar[float] = 1.0
    saliency_guidance: ClassVar[float] = 0.0
    mask: ClassVar[None] = None
    mask_kind: ClassVar[str] = "none"
    by_saliency: ClassVar[bool] = False
    by_contrast: ClassVar[bool] = False
