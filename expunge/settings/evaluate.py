"""The settings of `expunge evaluate concept` and `quality`, and what all evaluations share.

Nothing here imports torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import at_least, require, require_seed
from expunge.settings.groups import ConfigFolder, Dtype, Predicted, Sampler, Steps, shown

Looked = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="CONCEPT", help_behavior_hint="(default: the run's)"),
]


@dataclass(frozen=True)
class Evaluation:
    """What every evaluation is told: the models, the folders, the machine."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """A run folder, whose run.json tells original, concept and place; or any model."""
    baseline: Annotated[str | None, shown("MODEL", "the run's base")] = None
    """The original model, if TARGET is no run folder; without it there is nothing to compare."""
    base: Annotated[str | None, shown("MODEL", "where the run found it")] = None
    """The base of the run TARGET, if it has moved since."""
    config: ConfigFolder = None
    """For a TARGET, --baseline or --base that is a single file: a diffusers folder of its
    architecture, for the configs and tokenizer; of all that are."""
    prediction_type: Predicted = None
    """For the same: what the UNet predicts."""
    out: Annotated[Path | None, shown("FOLDER", "RUN/eval/NAME")] = None
    """Folder to write; NAME is the evaluation's own, such as `concept`."""
    originals: Annotated[Path | None, shown("FOLDER", ".originals beside RUN")] = None
    """Folder where the original's images are kept and reused by later evaluations."""
    batch_size: int = 16
    """Images drawn at once."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the fastest there is."""
    dtype: Dtype = "auto"
    """Precision of the arithmetic; `auto` is bfloat16 on GPUs and on CPUs made for it (AMX,
    AVX512-BF16), else float32."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank target and values out of range."""
        require(bool(self.target.strip()), "TARGET is empty; give a run folder or a model")
        at_least("--batch-size", self.batch_size, 1)


@dataclass(frozen=True)
class DrawnEvaluation(Evaluation):
    """What an evaluation is told that brings no prompts with settings of their own."""

    concept: Looked = ()
    """Erased concept, if TARGET is no run folder; give it again for another."""
    steps: Steps = None
    """Sampling steps."""
    guidance_scale: Annotated[float | None, shown("FLOAT", "the model's own, else 7.5")] = None
    """Guidance when drawing."""
    seed: int = 0
    """Seed of the images; the original and the erased model get the same."""

    def __post_init__(self) -> None:
        """Refuse a blank concept and values out of range."""
        super().__post_init__()
        require(all(c.strip() for c in self.concept), "--concept is empty; name what was erased")
        at_least("--steps", self.steps, 1)
        at_least("--guidance-scale", self.guidance_scale, 0)
        require_seed(self.seed)


@dataclass(frozen=True)
class EvaluateConcept(DrawnEvaluation):
    """Measure whether a concept is gone and what else changed, the original beside the erased."""

    sampler: Annotated[Sampler | None, shown(Sampler, "dpm++")] = None
    """Sampler when drawing."""
    protocol: Literal["full", "bench", "demo"] = "full"
    """Number of images: full, at least 100 forget, 500 retain, 500 cross and 128 of what is most
    like the concept; bench, some 320, for tables of many rows; or the small demo."""
    detector: Annotated[str | None, shown("MODEL", "the model's own judges, or as fits")] = None
    """What tells whether an image shows the concept: `nudenet`, `clip` (asked in words),
    `safety-checker`, or the folder or hub id of an image classifier, CLIP or safety checker. By
    default the model's own judges if they know the concept, else what the concept's file names,
    else an ImageNet classifier for Imagenette's ten classes, else CLIP."""

    def __post_init__(self) -> None:
        """Refuse a blank detector and values out of range."""
        super().__post_init__()
        require(self.detector is None or bool(self.detector.strip()), "--detector is empty")


@dataclass(frozen=True)
class EvaluateQuality(DrawnEvaluation):
    """Measure image quality and prompt alignment on retained prompts, original against erased."""

    sampler: Annotated[Sampler | None, shown(Sampler, "dpm++")] = None
    """Sampler when drawing."""
    prompts: Annotated[Path | None, shown("FILE", "the concept's retain prompts")] = None
    """UTF-8 text file of prompts, one a line; those that name the concept are left out."""
    images: int = 300
    """Prompts to draw, the first ones, an image each by either model."""
    real: Annotated[Path | None, shown("FOLDER", "none")] = None
    """Folder of real images, such as the captions' photographs, to compare both models with."""
    clip: Annotated[str | None, shown("MODEL", "the model's own, else ViT-L/14")] = None
    """CLIP folder or hub id to measure by; by default clip/ beside the model's parts, or else
    openai/clip-vit-large-patch14."""
    fid: bool = False
    """Measure the Inception FID too: 4096 images or more a set, and pip install 'expunge[fid]'."""
    fid_weights: Annotated[Path | None, shown("FILE", "fetched once")] = None
    """A copy of the Inception weights that torch-fidelity publishes, for machines offline."""

    def __post_init__(self) -> None:
        """Refuse a blank model and values out of range."""
        super().__post_init__()
        require(self.clip is None or bool(self.clip.strip()), "--clip is empty; name a CLIP model")
        at_least("--images", self.images, 3)
        require(self.fid or self.fid_weights is None, "--fid-weights is of no use without --fid")
