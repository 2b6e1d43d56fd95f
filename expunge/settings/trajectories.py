"""What the methods are told that need no images: how noised latents are made of noise and words."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings.checks import at_least
from expunge.settings.groups import shown
from expunge.settings.training import Loop, LoopFlags

Prompts = Literal["forget", "name"]

DEFAULTS: dict[str, Any] = {
    "prompts": "name",
    "trajectory_steps": 10,
    "trajectory_guidance": 3.0,
}


@dataclass(frozen=True)
class TrajectoryFlags(LoopFlags):
    """Noise is denoised towards the concept and left after a random number of steps."""

    prompts: Annotated[Prompts | None, shown(Prompts, DEFAULTS["prompts"])] = None
    """What stands for the concept: its name alone, as published; or its forget prompts in turn, and
    then what else they name, such as styles, goes with it."""
    trajectory_steps: Annotated[int | None, shown("INT", DEFAULTS["trajectory_steps"])] = None
    """Steps of DDIM from noise to an image, of which a random number is taken: more come nearer to
    how images are drawn, and cost as many more passes."""
    trajectory_guidance: Annotated[
        float | None, shown("FLOAT", DEFAULTS["trajectory_guidance"])
    ] = None
    """Guidance towards the concept on the way; 1: none, at half the cost."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        at_least("--trajectory-steps", self.trajectory_steps, 2)
        at_least("--trajectory-guidance", self.trajectory_guidance, 1)


@dataclass(frozen=True)
class Followed(Loop):
    """The same, every number settled."""

    prompts: Prompts
    trajectory_steps: int
    trajectory_guidance: float
