"""SalUn's settings: flags, settled numbers, our defaults, and what its authors published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings.checks import at_least, require
from expunge.settings.groups import shown
from expunge.settings.training import SaliencyFlags, Training, TrainingFlags

PresetName = Literal["salun-imagenette", "salun-nudity"]
Teacher = Literal["frozen", "current"]
RetainTarget = Literal["noise", "teacher"]

DEFAULTS: dict[str, Any] = {
    "density": 0.5,
    "train_method": "xattn",
    "saliency_guidance": 7.5,
    "batch_size": 16,
    "steps": 100,
    "lr": 1e-5,
    "lr_schedule": "constant",
    "alpha": 3.0,
    "teacher": "frozen",
    "retain_target": "teacher",
    "noise_weight": 30.0,
    "relabel": "mixed",
    "relabel_share": 0.0,
    "adversaries": 0,
    "mix": 0.0,
    "forget_images": 32,
    "retain_images": 128,
}

Held = Annotated[RetainTarget | None, shown(RetainTarget, DEFAULTS["retain_target"])]

_PUBLISHED: dict[str, Any] = {
    "density": 0.5,
    "train_method": "full",
    "saliency_guidance": 7.5,
    "batch_size": 8,
    "lr": 1e-5,
    "lr_schedule": "constant",
    "teacher": "current",
    "retain_target": "noise",
    "noise_weight": 1.0,
    "relabel": "fixed",
    "relabel_share": 0.0,
    "adversaries": 0,
    "mix": 0.0,
    # Its authors' sets were drawn so.
    "sampler": "ddim",
}

PRESETS: dict[str, dict[str, Any]] = {
    # Five epochs over some 960 images of a class in batches of 8.
    "salun-imagenette": {
        **_PUBLISHED,
        "steps": 600,
        "alpha": 0.5,
        "forget_images": 960,
        "retain_images": 960,
    },
    # One epoch over 800 images in batches of 8.
    "salun-nudity": {
        **_PUBLISHED,
        "steps": 100,
        "alpha": 0.1,
        "forget_images": 800,
        "retain_images": 800,
    },
}


@dataclass(frozen=True)
class MaskFlags(SaliencyFlags):
    """How SalUn chooses weights."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""


@dataclass(frozen=True)
class SalUnFlags(TrainingFlags):
    """How SalUn chooses weights and trains them."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    alpha: Annotated[float | None, shown("FLOAT", DEFAULTS["alpha"])] = None
    """Weight of the retain loss."""
    teacher: Annotated[Teacher | None, shown(Teacher, DEFAULTS["teacher"])] = None
    """Whose prediction is the target: the original model's, or that of the one being trained."""
    retain_target: Held = None
    """What the prediction on retained images is held to: the true noise, or the teacher's."""
    noise_weight: Annotated[float | None, shown("FLOAT", DEFAULTS["noise_weight"])] = None
    """An error at a noisy timestep counts 1/SNR times, up to this often; 1: all count alike."""
    relabel: Annotated[str | None, shown("TEXT", DEFAULTS["relabel"])] = None
    """What a forget prompt is to look like: `random` (another thing, one for the concept, drawn by
    the seed), `nearest` (the other thing that reads most like it), `mixed` (another thing, drawn
    for each sample), `fixed` (the concept's one relabel prompt), or a prompt in quotes."""
    relabel_share: Annotated[float | None, shown("FLOAT", DEFAULTS["relabel_share"])] = None
    """Share of a step's forget images that show what their prompt is relabelled to, and not the
    concept."""
    adversaries: Annotated[int | None, shown("INT", DEFAULTS["adversaries"])] = None
    """Ways of rewording that seek the concept along with the training, and are relabelled, too: a
    learned word brings less back, and a step takes a third longer."""
    mix: Annotated[float | None, shown("FLOAT", DEFAULTS["mix"])] = None
    """Share of a step's images that are seen under another prompt of their set, drawn anew, so that
    more prompts are trained on than images are drawn; of retained ones if held to the teacher."""

    def __post_init__(self) -> None:
        """Refuse values out of range and flags that exclude each other."""
        super().__post_init__()
        at_least("--alpha", self.alpha, 0)
        at_least("--noise-weight", self.noise_weight, 1)
        require(
            self.relabel_share is None or 0 <= self.relabel_share < 1,
            f"--relabel-share must be at least 0 and below 1, not {self.relabel_share}",
        )
        at_least("--adversaries", self.adversaries, 0)
        require(
            self.mix is None or 0 <= self.mix <= 1,
            f"--mix must be from 0 to 1, not {self.mix}",
        )
        require(
            self.relabel is None or bool(self.relabel.strip()),
            "--relabel is empty; give `random`, `nearest`, `mixed`, `fixed` or a prompt",
        )
        require(
            self.retain_target != "teacher" or self.teacher != "current",
            "--teacher current: a model cannot be held to itself on the retain set; "
            "add --retain-target noise",
        )


@dataclass(frozen=True)
class SalUn(Training):
    """The same, every number settled."""

    alpha: float
    teacher: Teacher
    retain_target: RetainTarget
    noise_weight: float
    relabel: str
    relabel_share: float
    adversaries: int
    mix: float
