"""Concept ablation's settings: flags, settled numbers, our defaults, and what was published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings.checks import at_least, require
from expunge.settings.groups import shown
from expunge.settings.training import Training, TrainingFlags

PresetName = Literal["ca"]
Teacher = Literal["frozen", "current"]

DEFAULTS: dict[str, Any] = {
    "density": 1.0,
    "train_method": "xattn",
    "saliency_guidance": 7.5,
    "batch_size": 16,
    "steps": 100,
    "lr": 1.6e-5,
    "lr_schedule": "constant",
    "weight_decay": 0.0,
    "teacher": "frozen",
    "anchor": "random",
    "prior": 0.0,
    "forget_images": 48,
    # The guard's.
    "retain_images": 8,
}

PRESETS: dict[str, dict[str, Any]] = {
    # For a thing or a style, on two processes: 2e-6 times 2 processes times 4 images of each, which
    # --scale_lr multiplies. The images are the later, diffusers code's.
    "ca": {
        "density": 1.0,
        "train_method": "kv",
        "batch_size": 8,
        "steps": 100,
        "lr": 1.6e-5,
        "lr_schedule": "constant",
        "weight_decay": 0.01,
        "teacher": "current",
        "prior": 0.0,
        "forget_images": 1000,
        "sampler": "dpm++",
        "inference_steps": 25,
        "guidance_scale": 6.0,
        "guided_share": 1.0,
    },
}


@dataclass(frozen=True)
class CaFlags(TrainingFlags):
    """How the concept's words come to mean an anchor, on images of anchors (--forget-images)."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    batch_size: Annotated[int | None, shown("INT", DEFAULTS["batch_size"])] = None
    """Images of anchors in a step."""
    density: Annotated[float | None, shown("FLOAT", DEFAULTS["density"])] = None
    """Share of the weights that may change; below 1 the most salient ones, by SalUn's mask."""
    lr: Annotated[float | None, shown("FLOAT", "the model's own, else 1.6e-05")] = None
    """Learning rate of Adam, or of AdamW."""
    anchor: Annotated[str | None, shown("TEXT", DEFAULTS["anchor"])] = None
    """What takes the concept's place: words that stand in its prompts instead of its own, such as
    the kind of thing that it is; or `random`, another thing for each image."""
    prior: Annotated[float | None, shown("FLOAT", DEFAULTS["prior"])] = None
    """Weight of the diffusion loss on the anchors' images under their own prompts, 1 as published
    for anchors whose words are in the concept's; 0: none."""
    teacher: Annotated[Teacher | None, shown(Teacher, DEFAULTS["teacher"])] = None
    """Whose prediction for the anchor is the target: the original model's, or that of the one being
    trained."""
    weight_decay: Annotated[float | None, shown("FLOAT", DEFAULTS["weight_decay"])] = None
    """AdamW's, of the weights that are trained."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        at_least("--prior", self.prior, 0)
        at_least("--weight-decay", self.weight_decay, 0)
        require(
            self.anchor is None or bool(self.anchor.strip()),
            "--anchor is empty; give `random` or words",
        )


@dataclass(frozen=True)
class Ca(Training):
    """The same, every number settled."""

    anchor: str
    prior: float
    teacher: Teacher
    weight_decay: float
