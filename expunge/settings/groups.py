"""The groups of options that commands share: the model, and the images.

A flag that is None was not given; `settle` finds its value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from expunge.settings.checks import apart, at_least, require

Sampler = Literal["ddim", "pndm", "euler", "dpm++"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Prediction = Literal["epsilon", "v_prediction"]


def shown(metavar: Any, default: Any) -> Any:
    """Say in the help what stands in for None: a value's name or choices, and its default."""
    if not isinstance(metavar, str):
        metavar = "{" + ",".join(get_args(metavar)) + "}"
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


def fields_of(settings: type) -> Iterator[tuple[type, str]]:
    """Every field of a command's dataclass with its owner, groups opened up."""
    for field in fields(settings):  # type: ignore[arg-type]
        group: Any = field.default_factory
        opened = isinstance(group, type) and is_dataclass(group)
        yield from fields_of(group) if opened else [(settings, field.name)]


Predicted = Annotated[Prediction | None, shown(Prediction, "as the file tells, else its config")]
Steps = Annotated[int | None, shown("INT", "the model's own, else 50; dpm++ 0.4 of it")]
ConfigFolder = Annotated[Path | None, shown("FOLDER", "the hub's cache")]


@dataclass(frozen=True)
class ModelArgs:
    """The model to start from, and where to run it."""

    model: str = "miniature"
    """A hub id, a diffusers folder, a run folder, one file of weights, or the shipped
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


DRAWN: dict[str, Any] = {"guided_share": 1.0}
"""How a set is drawn, but for what its model recommends or its architecture is drawn with."""


@dataclass(frozen=True)
class DataFlags:
    """The forget set and the retain set: drawn by the original model, or read from folders."""

    forget_images: Annotated[int | None, shown("INT", "32, or as the method has it")] = None
    """Images in the forget set."""
    retain_images: Annotated[int | None, shown("INT", "128, or as the method has it")] = None
    """Images in the retain set."""
    guidance_scale: Annotated[float | None, shown("FLOAT", "the model's own, else 7.5")] = None
    """Guidance when drawing them."""
    guided_share: Annotated[float | None, shown("FLOAT", DRAWN["guided_share"])] = None
    """Share of the sampling steps, the noisiest first, that are guided: the others take half.
    Below 1 styles are erased less surely."""
    sampler: Annotated[Sampler | None, shown(Sampler, "dpm++")] = None
    """Sampler when drawing them."""
    inference_steps: Steps = None
    """Sampling steps when drawing them."""
    forget_data: Annotated[Path | None, shown("FOLDER", "draw them")] = None
    """Folder of images of the concept, captioned by metadata.jsonl ({"file_name", "text"} a line),
    metadata.csv, or a .txt or .caption file beside each image."""
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
        require(
            self.guided_share is None or 0 <= self.guided_share <= 1,
            f"--guided-share must be from 0 to 1, not {self.guided_share}",
        )
        apart("--forget-data", self.forget_data, "--forget-prompts", self.forget_prompts)
        apart("--retain-data", self.retain_data, "--retain-prompts", self.retain_prompts)


@dataclass(frozen=True)
class Data:
    """The same, every number settled; what a folder or a file gives is None without one."""

    forget_images: int
    retain_images: int
    guidance_scale: float
    guided_share: float
    sampler: Sampler
    inference_steps: int
    forget_data: Path | None
    retain_data: Path | None
    forget_prompts: Path | None
    retain_prompts: Path | None
    cache: Path | None
