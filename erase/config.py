"""The settings of every command: frozen dataclasses whose docstrings are the command line's help.

Nothing here imports torch, so that `--help` is instant.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from erase.checks import at_least, require, require_seed
from erase.config_i2p import EvaluateI2P as EvaluateI2P
from erase.config_report import Report as Report
from erase.options import (
    DataConfig,
    Dtype,
    ModelArgs,
    SaliencyConfig,
    SalUnConfig,
    Sampler,
    shown,
)
from erase.presets import DEFAULTS, PRESETS, PresetName

Flat = tyro.conf.OmitArgPrefixes
Concepts = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="CONCEPT [CONCEPT ...]", help_behavior_hint="(required)"),
]
Looked = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="CONCEPT", help_behavior_hint="(default: the run's)"),
]
MASK_DECIDES = ("density", "train_method", "saliency_guidance")
Settings = TypeVar("Settings", SaliencyConfig, SalUnConfig, DataConfig)


def _settled(config: Settings, preset: PresetName | None) -> Settings:
    """Return a copy whose unsettled fields are filled from the preset, else from the defaults."""
    values = DEFAULTS | (PRESETS[preset] if preset else {})
    if isinstance(config, SalUnConfig):
        # A mask decides what a default would contradict.
        if config.mask is not None:
            values = {k: v for k, v in values.items() if k not in MASK_DECIDES}
        if config.mask_kind == "none":
            values = {k: v for k, v in values.items() if k != "density"}
    unsettled = [f.name for f in fields(config) if getattr(config, f.name) is None]
    return replace(config, **{name: values[name] for name in unsettled if name in values})


def _check_concepts(concepts: tuple[str, ...]) -> None:
    require(
        bool(concepts) and all(c.strip() for c in concepts),
        "CONCEPT is empty; name one, for example `church`, or give a .toml file",
    )


@dataclass(frozen=True)
class Erase:
    """Erase concepts from a Stable Diffusion model and write a run folder."""

    concepts: Concepts
    """What to erase, one or more: a shipped concept, free text in quotes, or a .toml file."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    salun: Flat[SalUnConfig] = field(default_factory=SalUnConfig)
    data: Flat[DataConfig] = field(default_factory=DataConfig)
    out: Annotated[Path | None, shown("FOLDER", "runs/CONCEPT-HASH of config, seed, base")] = None
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept."""
        _check_concepts(self.concepts)

    def resolve(self) -> "Erase":
        """Return the same command with every preset-dependent field settled."""
        preset = self.salun.preset
        salun, data = _settled(self.salun, preset), _settled(self.data, preset)
        return replace(self, salun=salun, data=data)


@dataclass(frozen=True)
class Mask:
    """Build the saliency mask alone, print where it lies and draw it."""

    concepts: Concepts
    """What the mask is for: a shipped concept's name, free text in quotes, or a .toml file."""
    model: Flat[ModelArgs] = field(default_factory=ModelArgs)
    saliency: Flat[SaliencyConfig] = field(default_factory=SaliencyConfig)
    data: Flat[DataConfig] = field(default_factory=DataConfig)
    out: Annotated[Path | None, shown("FOLDER", "runs/mask-CONCEPT-HASH")] = None
    """Folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank concept."""
        _check_concepts(self.concepts)

    def resolve(self) -> "Mask":
        """Return the same command with every preset-dependent field settled."""
        preset = self.saliency.preset
        saliency, data = _settled(self.saliency, preset), _settled(self.data, preset)
        return replace(self, saliency=saliency, data=data)


@dataclass(frozen=True)
class EvaluateConcept:
    """Measure whether a concept is gone and what else changed, the original beside the erased."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """A run folder, whose run.json tells original, concept and place; or any model."""
    concept: Looked = ()
    """Concept to look for, if TARGET is no run folder; give it again for another."""
    baseline: Annotated[str | None, shown("MODEL", "the run's base")] = None
    """The original model, if TARGET is no run folder; without it there is nothing to compare."""
    out: Annotated[Path | None, shown("FOLDER", "RUN/eval/concept")] = None
    """Folder to write."""
    originals: Annotated[Path | None, shown("FOLDER", ".originals beside RUN")] = None
    """Folder where the original's images are kept and reused by later evaluations."""
    protocol: Literal["full", "demo"] = "full"
    """Number of images: full, at least 100 forget, 500 retain and 500 cross; or the small demo."""
    batch_size: int = 16
    """Images drawn at once."""
    sampler: Sampler = "ddim"
    """Sampler when drawing."""
    steps: Annotated[int | None, shown("INT", "25 for the miniature, else 50")] = None
    """Sampling steps."""
    guidance_scale: Annotated[float | None, shown("FLOAT", "5 for the miniature, else 7.5")] = None
    """Guidance when drawing."""
    seed: int = 0
    """Seed of the images; the original and the erased model get the same."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the fastest there is."""
    dtype: Dtype = "auto"
    """Precision of the arithmetic; `auto` is float32 on a CPU and bfloat16 on a GPU."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank target and values out of range."""
        require(bool(self.target.strip()), "TARGET is empty; give a run folder or a model")
        require(all(c.strip() for c in self.concept), "--concept is empty; name what to look for")
        at_least("--batch-size", self.batch_size, 1)
        at_least("--steps", self.steps, 1)
        at_least("--guidance-scale", self.guidance_scale, 0)
        require_seed(self.seed)


@dataclass(frozen=True)
class EvaluateQuality:
    """Measure image quality and prompt alignment on retained prompts, original against erased."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """A run folder, whose run.json tells original, concept and place; or any model."""
    concept: Looked = ()
    """Erased concept, if TARGET is no run folder; its retain prompts are drawn. Repeatable."""
    prompts: Annotated[Path | None, shown("FILE", "the concept's retain prompts")] = None
    """UTF-8 text file of prompts, one a line; those that name the concept are left out."""
    images: int = 300
    """Prompts to draw, the first ones, an image each by either model."""
    real: Annotated[Path | None, shown("FOLDER", "none")] = None
    """Folder of real images, such as the captions' photographs, to compare both models with."""
    clip: Annotated[str | None, shown("MODEL", "the model's own, else ViT-L/14")] = None
    """CLIP folder or hub id to measure by; by default clip/ beside the model's parts, or else
    openai/clip-vit-large-patch14."""
    baseline: Annotated[str | None, shown("MODEL", "the run's base")] = None
    """The original model, if TARGET is no run folder; without it there is nothing to compare."""
    out: Annotated[Path | None, shown("FOLDER", "RUN/eval/quality")] = None
    """Folder to write."""
    originals: Annotated[Path | None, shown("FOLDER", ".originals beside RUN")] = None
    """Folder where the original's images are kept and reused by later evaluations."""
    batch_size: int = 16
    """Images drawn at once."""
    sampler: Sampler = "ddim"
    """Sampler when drawing."""
    steps: Annotated[int | None, shown("INT", "25 for the miniature, else 50")] = None
    """Sampling steps."""
    guidance_scale: Annotated[float | None, shown("FLOAT", "5 for the miniature, else 7.5")] = None
    """Guidance when drawing."""
    seed: int = 0
    """Seed of the images; the original and the erased model get the same."""
    device: str = "auto"
    """`cpu`, `cuda`, `cuda:1`, `mps`; `auto` takes the fastest there is."""
    dtype: Dtype = "auto"
    """Precision of the arithmetic; `auto` is float32 on a CPU and bfloat16 on a GPU."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse a blank target and values out of range."""
        require(bool(self.target.strip()), "TARGET is empty; give a run folder or a model")
        require(all(c.strip() for c in self.concept), "--concept is empty; name what was erased")
        require(self.clip is None or bool(self.clip.strip()), "--clip is empty; name a CLIP model")
        at_least("--images", self.images, 3)
        at_least("--batch-size", self.batch_size, 1)
        at_least("--steps", self.steps, 1)
        at_least("--guidance-scale", self.guidance_scale, 0)
        require_seed(self.seed)


@dataclass(frozen=True)
class Demo:
    """Erase church from the shipped miniature and show what became of it, in a few minutes."""

    out: Path = Path("runs/demo")
    """Run folder to write."""
    overwrite: bool = False
    """Start again in a folder that was used with other settings."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""
