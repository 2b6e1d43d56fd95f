"""The groups of options that commands share: model, saliency, SalUn, data.

A field that is None is not settled yet: a command's `resolve()` fills it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from expunge.settings.checks import apart, at_least, positive, require, require_seed
from expunge.settings.presets import DEFAULTS, PresetName

TrainMethod = Literal["full", "xattn", "noxattn", "selfattn"]
Sampler = Literal["ddim", "pndm", "euler", "dpm++"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Prediction = Literal["epsilon", "v_prediction"]
Teacher = Literal["frozen", "current"]
RetainTarget = Literal["noise", "teacher"]
Schedule = Literal["constant", "linear"]


def shown(metavar: Any, default: Any) -> Any:
    """Say in the help what stands in for None: a value's name or choices, and its default."""
    if not isinstance(metavar, str):
        metavar = "{" + ",".join(get_args(metavar)) + "}"
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


LR_SHOWN = f"the model's own, else {DEFAULTS['lr']}"
Rate = Annotated[float | None, shown("FLOAT", LR_SHOWN)]
Predicted = Annotated[Prediction | None, shown(Prediction, "as the file tells, else its config")]
ConfigFolder = Annotated[Path | None, shown("FOLDER", "the hub's cache")]
Held = Annotated[RetainTarget | None, shown(RetainTarget, DEFAULTS["retain_target"])]


@dataclass(frozen=True)
class ModelArgs:
    """The model to start from, and where to run it."""

    model: str = "miniature"
    """A hub id, a diffusers folder, a run folder, one .safetensors or .ckpt file, or the shipped
    `miniature`."""
    revision: Annotated[str | None, shown("TEXT", "main")] = None
    """Branch, tag or commit of a hub model."""
    variant: Annotated[str | None, shown("TEXT", "none")] = None
    """Weight variant of a hub model or folder, such as `fp16`."""
    config: ConfigFolder = None
    """For a single file: a diffusers folder of its architecture, for the configs and tokenizer."""
    prediction_type: Predicted = None
    """For a single file: what its UNet predicts."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the fastest there is."""
    dtype: Dtype = "auto"
    """Precision of the arithmetic; `auto` is bfloat16 on GPUs and on CPUs made for it (AMX,
    AVX512-BF16), else float32."""

    def __post_init__(self) -> None:
        """Refuse a blank model, and a type in which nothing can be trained."""
        require(bool(self.model.strip()), "--model is empty; name one, for example `miniature`")
        require(
            self.dtype != "float16",
            "--dtype float16: gradients underflow; use bfloat16 or float32",
        )


@dataclass(frozen=True)
class SaliencyConfig:
    """How the weights that may change are chosen."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    density: Annotated[float | None, shown("FLOAT", DEFAULTS["density"])] = None
    """Share of the trainable weights that may change, above 0 and up to 1."""
    train_method: Annotated[TrainMethod | None, shown(TrainMethod, DEFAULTS["train_method"])] = None
    """Which weights may be chosen: all, only cross-attention, all but it, only self-attention."""
    saliency_guidance: Annotated[float | None, shown("FLOAT", DEFAULTS["saliency_guidance"])] = None
    """Guidance of the prediction in the saliency loss; 0: the plain conditional one."""
    batch_size: Annotated[int | None, shown("INT", DEFAULTS["batch_size"])] = None
    """Images in a step, of the forget set and as many of the retain set."""
    seed: int = 0
    """Seed of everything that is drawn at random."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(
            self.density is None or 0 < self.density <= 1,
            f"--density must be above 0 and at most 1, not {self.density}",
        )
        at_least("--saliency-guidance", self.saliency_guidance, 0)
        at_least("--batch-size", self.batch_size, 1)
        require_seed(self.seed)


@dataclass(frozen=True)
class SalUnConfig(SaliencyConfig):
    """How SalUn chooses weights and trains them."""

    steps: Annotated[int | None, shown("INT", DEFAULTS["steps"])] = None
    """Training steps."""
    lr: Rate = None
    """Learning rate of Adam."""
    lr_schedule: Annotated[Schedule | None, shown(Schedule, DEFAULTS["lr_schedule"])] = None
    """Keep the learning rate, or let it fall to 0 in a straight line."""
    alpha: Annotated[float | None, shown("FLOAT", DEFAULTS["alpha"])] = None
    """Weight of the retain loss."""
    teacher: Annotated[Teacher | None, shown(Teacher, DEFAULTS["teacher"])] = None
    """Whose prediction is the target: the original model's, or that of the one being trained."""
    retain_target: Held = None
    """What the prediction on retained images is held to: the true noise, or the teacher's."""
    noise_weight: Annotated[float | None, shown("FLOAT", DEFAULTS["noise_weight"])] = None
    """An error at a noisy timestep counts 1/SNR times, up to this often; 1: all count alike."""
    relabel: Annotated[str | None, shown("TEXT", DEFAULTS["relabel"])] = None
    """What a forget prompt is to look like: `random` (another thing, drawn for each sample),
    `fixed` (the concept's one relabel prompt), or a prompt in quotes."""
    micro_batch: Annotated[int | None, shown("INT", "as the free memory allows")] = None
    """Images of either set in one pass; a step takes as many passes as make its batch."""
    compile: bool = False
    """Let torch.compile make the training's passes: it takes minutes at first, each step less time
    then. Needs a C++ compiler on a CPU."""
    until_erased: bool = False
    """End as soon as the concept's judge finds it in none of 32 images, drawn every tenth step."""
    no_guard: bool = False
    """Do not end, and go back, when the predictions for other prompts drift too far."""
    mask: Annotated[Path | None, shown("FILE", "build one")] = None
    """Reuse this mask.safetensors of the same model instead of building one."""
    mask_kind: Literal["saliency", "random", "none"] = "saliency"
    """For ablations: choose the weights by saliency, at random, or not at all (train them all)."""

    def __post_init__(self) -> None:
        """Refuse values out of range and flags that exclude each other."""
        super().__post_init__()
        at_least("--steps", self.steps, 1)
        positive("--lr", self.lr)
        at_least("--micro-batch", self.micro_batch, 1)
        at_least("--alpha", self.alpha, 0)
        at_least("--noise-weight", self.noise_weight, 1)
        require(
            self.relabel is None or bool(self.relabel.strip()),
            "--relabel is empty; give `random`, `fixed` or a prompt",
        )
        require(
            self.retain_target != "teacher" or self.teacher != "current",
            "--teacher current: a model cannot be held to itself on the retain set; "
            "add --retain-target noise",
        )
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
class DataConfig:
    """The forget set and the retain set: drawn by the original model, or read from folders."""

    forget_images: Annotated[int | None, shown("INT", DEFAULTS["forget_images"])] = None
    """Images in the forget set."""
    retain_images: Annotated[int | None, shown("INT", DEFAULTS["retain_images"])] = None
    """Images in the retain set."""
    guidance_scale: Annotated[float | None, shown("FLOAT", "the model's own, else 7.5")] = None
    """Guidance when drawing them."""
    sampler: Sampler = "ddim"
    """Sampler when drawing them."""
    inference_steps: Annotated[int | None, shown("INT", "the model's own, else 50")] = None
    """Sampling steps when drawing them."""
    forget_data: Annotated[Path | None, shown("FOLDER", "draw them")] = None
    """Folder of images of the concept, captioned by metadata.jsonl ({"file_name", "text"} a line)
    or by a .txt file beside each image."""
    retain_data: Annotated[Path | None, shown("FOLDER", "draw them")] = None
    """Folder of images to keep, captioned likewise."""
    forget_prompts: Annotated[Path | None, shown("FILE", "the concept's own")] = None
    """UTF-8 text file of forget prompts, one a line, instead of the concept's own."""
    retain_prompts: Annotated[Path | None, shown("FILE", "the concept's own")] = None
    """UTF-8 text file of retain prompts, one a line, instead of the concept's own."""
    cache: Annotated[Path | None, shown("FOLDER", "OUT/cache")] = None
    """Folder to keep the encoded sets in and reuse them from."""

    def __post_init__(self) -> None:
        """Refuse values out of range and flags that exclude each other."""
        at_least("--forget-images", self.forget_images, 1)
        at_least("--retain-images", self.retain_images, 1)
        at_least("--guidance-scale", self.guidance_scale, 0)
        at_least("--inference-steps", self.inference_steps, 1)
        apart("--forget-data", self.forget_data, "--forget-prompts", self.forget_prompts)
        apart("--retain-data", self.retain_data, "--retain-prompts", self.retain_prompts)
