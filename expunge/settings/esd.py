"""ESD's settings: flags, settled numbers, our defaults, and what its authors published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings import trajectories
from expunge.settings.checks import at_least
from expunge.settings.groups import shown
from expunge.settings.training import Training, TrainingFlags
from expunge.settings.trajectories import Followed, TrajectoryFlags

PresetName = Literal["esd-x", "esd-u"]
Trajectory = Literal["original", "current"]

DEFAULTS: dict[str, Any] = {
    **trajectories.DEFAULTS,
    "density": 1.0,
    "train_method": "xattn",
    "saliency_guidance": 7.5,
    "batch_size": 8,
    "steps": 100,
    "lr": 5e-5,
    "lr_schedule": "constant",
    "eta": 1.0,
    "trajectory": "original",
    "forget_images": 48,
    # The guard's.
    "retain_images": 8,
}
RATE = 0.4
"""Of what a small model recommends."""

# The authors' code of 2025, whose negative guidance of 2 is an eta of 1. The paper's own numbers
# are --trajectory current --steps 1000 --lr 1e-5.
_PUBLISHED: dict[str, Any] = {
    "density": 1.0,
    "batch_size": 1,
    "steps": 200,
    "lr": 5e-5,
    "lr_schedule": "constant",
    "eta": 1.0,
    "trajectory": "original",
    "prompts": "name",
    "trajectory_steps": 50,
    "trajectory_guidance": 3.0,
}

PRESETS: dict[str, dict[str, Any]] = {
    "esd-x": {**_PUBLISHED, "train_method": "xattn"},
    "esd-u": {**_PUBLISHED, "train_method": "noxattn-layers"},
}


@dataclass(frozen=True)
class EsdFlags(TrajectoryFlags, TrainingFlags):
    """How ESD turns the model's own guidance against the concept; it needs no images."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    batch_size: Annotated[int | None, shown("INT", DEFAULTS["batch_size"])] = None
    """Noised latents in a step."""
    density: Annotated[float | None, shown("FLOAT", DEFAULTS["density"])] = None
    """Share of the weights that may change; below 1 the most salient ones, by SalUn's mask."""
    lr: Annotated[float | None, shown("FLOAT", "by the model's own, else 5e-05")] = None
    """Learning rate of Adam."""
    eta: Annotated[float | None, shown("FLOAT", DEFAULTS["eta"])] = None
    """How far from the concept the target lies: what guidance of as much would add is taken off."""
    trajectory: Annotated[Trajectory | None, shown(Trajectory, DEFAULTS["trajectory"])] = None
    """Whose images of the concept are looked at, half drawn: the original model's, or those of the
    one being trained, which takes a copy of the original beside it."""

    def __post_init__(self) -> None:
        """Refuse values out of range and flags that exclude each other."""
        super().__post_init__()
        at_least("--eta", self.eta, 0)


@dataclass(frozen=True)
class Esd(Followed, Training):
    """The same, every number settled."""

    eta: float
    trajectory: Trajectory
