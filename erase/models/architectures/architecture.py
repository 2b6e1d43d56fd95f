"""What an architecture must say of itself, so that its models can be loaded, drawn and erased from.

Everything else in the package asks the architecture, or the loaded model that carries it. To add
one, write a file like `stable_diffusion.py` beside this one, and add it to the list in `known.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.diffusion.noise_schedule import Schedule
from erase.models.architectures.families import Family
from erase.models.part_config import PartConfig, sample_size
from erase.models.part_weights import DIFFUSERS, TRANSFORMERS, Layout
from plumbing.errors import UsageError

Parts = Mapping[str, Any]
"""A model's loaded parts by their names in its diffusers pipeline, and what its index settles."""
Config = Mapping[str, Any]
"""The content of a part's config.json."""
Inputs = tuple[Tensor, Tensor, Conditioning]
"""What a denoiser is called with: noisy latents [B, C, h, w], timesteps [B], B prompts."""


def _fits(configs: Mapping[str, Config]) -> Iterator[str]:
    return iter(())


def _supported(index: Mapping[str, Any]) -> str | None:
    return None


@dataclass(frozen=True)
class Architecture:
    """One architecture; heavy libraries are imported by its functions, not by its file."""

    name: str
    title: str
    """For people."""
    pipelines: tuple[str, ...]
    """The `_class_name` of model_index.json in a folder of it."""
    denoiser: str
    """The part that predicts, by its name in the pipeline and its folder: one of `DENOISERS`."""
    classes: Mapping[str, str]
    """`module:class` of each part that is loaded; of the scheduler the class that it derives from.

    No other class is loaded, whatever a folder's own index names.
    """
    encode: Callable[[Parts, Sequence[str]], Conditioning]
    """A few prompts as its diffusers pipeline encodes them, in float32 on the CPU."""
    predict: Callable[[Any, Tensor, Tensor, Conditioning], Tensor]
    """What a denoiser says of `Inputs`, [B, C, h, w] in its own type."""
    schedule: Callable[[Any], Schedule]
    """The noise schedule of its scheduler; one that is not supported is a UsageError."""
    pipeline: Callable[[Parts, str], Any]
    """A diffusers text-to-image pipeline over the same weights, with a sampler (a `--sampler`).

    Its `encode_prompt` takes `prompt`, `device`, `num_images_per_prompt` and
    `do_classifier_free_guidance`, and gives the embeddings and the negative ones, then, if there
    are any, the pooled ones and the negative ones. A sampler that does not fit is a UsageError.
    """
    example: Callable[[Config], Inputs]
    """One image's inputs without content for a denoiser of this config, at its own size."""
    groups: Mapping[str, Callable[[str], bool]]
    """Which of the denoiser's parameters, by name, each `--train-method` lets train."""
    sampler: str = "dpm++"
    """What its images are drawn with, unless something else is asked for: a `--sampler`."""
    encode_nothing: Callable[[Parts], Conditioning] | None = None
    """What guidance leads away from, of one prompt; None: the empty prompt."""
    index_settings: Mapping[str, bool] = field(default_factory=dict)
    """What model_index.json settles beside naming the parts, and what holds if it does not say."""
    refuse: Callable[[Mapping[str, Any]], str | None] = _supported
    """What a model_index.json of one of the `pipelines` is of, if that is not supported."""
    refuse_scheduler: Callable[[Config], str | None] = _supported
    """Why none of its models can have a scheduler of this config, which names its class."""
    kin: str | None = None
    """A pattern of other pipelines' names, which may have the same parts for another task."""
    misfits: Callable[[Mapping[str, Config]], Iterator[str]] = _fits
    """What keeps parts with these configs, by the parts' names, from working together.

    A config is complete; that of a tokenizer is `{"tokens": how many it makes of a prompt}`.
    """
    latent_size: Callable[[Config], tuple[int, int]] = sample_size
    """(height, width) in latents that a denoiser of this config was made for; UsageError: none."""
    shifts_latents: bool = False
    """Whether its pipeline knows autoencoders that shift latents before they scale them."""
    modelspec: Callable[[Config, str], str] | None = None
    """`modelspec.architecture` of a denoiser by its config and prediction type, if it has one."""
    single_files: tuple[Family, ...] = ()
    """How it comes as one file in the original (LDM) layout, if it does."""

    @property
    def parts(self) -> tuple[str, ...]:
        """What its folders are made of."""
        return tuple(self.classes)

    @property
    def denoiser_name(self) -> str:
        """For messages."""
        return {"unet": "UNet"}.get(self.denoiser, self.denoiser)

    @property
    def denoiser_class(self) -> str:
        """The `_class_name` of its denoiser's config.json."""
        return self.classes[self.denoiser].partition(":")[2]

    def layout(self, part: str) -> Layout | None:
        """What its library calls the files with a part's weights; None of a part without any."""
        if part == "scheduler" or part.startswith("tokenizer"):
            return None
        return DIFFUSERS if self.classes[part].startswith("diffusers") else TRANSFORMERS

    def kind(self, part: str) -> Any:
        """The class of a part, imported now."""
        module, _, name = self.classes[part].partition(":")
        return getattr(import_module(module), name)

    def config(self, part: str, told: Config) -> PartConfig:
        """The content of a part's config.json, with what it leaves out as its class has it."""
        return PartConfig(told, lambda: self.kind(part))

    def native_size(self, denoiser: Config, vae: Config) -> tuple[int, int]:
        """(width, height) in pixels that a denoiser was made for, by its and the VAE's config."""
        height, width = self.latent_size(denoiser)
        blocks = vae["block_out_channels"]
        if not isinstance(blocks, list | tuple) or not blocks:
            raise UsageError(
                f"--model: its vae/config.json has block_out_channels {str(blocks)[:40]}, "
                "not a list of widths; get it anew"
            )
        scale = 2 ** (len(blocks) - 1)
        return width * scale, height * scale
