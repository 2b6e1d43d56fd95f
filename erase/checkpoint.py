"""The only loader of models: a Stable Diffusion from a folder, a run, the hub or the package."""

from __future__ import annotations

import erase.pil_processors  # noqa: F401

# isort: split
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import schedulers
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from erase.part_check import check_weights, require_finite
from erase.sampler import SAMPLERS, build_sampler
from erase.shipped import judge_folder, vocabulary
from erase.single_file import open_single_file
from erase.single_file_parts import load_part
from erase.source import INDEX, MINIATURE, ModelSource, locate, variant_of
from plumbing.errors import UsageError
from plumbing.json_file import read_object

__all__ = [
    "MINIATURE",
    "SAMPLERS",
    "ModelSource",
    "StableDiffusion",
    "build_sampler",
    "judge_folder",
    "load_checkpoint",
    "locate",
    "resolve_device",
    "resolve_dtype",
    "vocabulary",
]

_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


@dataclass(frozen=True)
class StableDiffusion:
    """The parts of a Stable Diffusion 1.x, 2.x or XL model, and where they came from."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: Any
    source: ModelSource
    text_encoder_2: CLIPTextModelWithProjection | None = None
    """SDXL's second one, whose pooled embedding the UNet takes too."""
    tokenizer_2: CLIPTokenizer | None = None
    force_zeros_for_empty_prompt: bool = False
    """Whether zeros stand for the empty prompt that guidance leads away from (most SDXL)."""

    @property
    def image_size(self) -> int:
        """Height and width in pixels that the UNet was made for."""
        scale = 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        return int(self.unet.config["sample_size"]) * scale

    @property
    def encoders(self) -> list[Any]:
        """All parts with weights but the UNet."""
        parts = [self.vae, self.text_encoder, self.text_encoder_2]
        return [part for part in parts if part is not None]

    def release_encoders(self) -> None:
        """Free the weights of all parts but the UNet; what is encoded stays."""
        for part in self.encoders:
            part.to(torch.device("meta"))

    def pipeline(self, sampler: str) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
        """A diffusers pipeline over the same weights, with this sampler and no safety checker."""
        parts: dict[str, Any] = {
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "tokenizer": self.tokenizer,
            "unet": self.unet,
            "scheduler": build_sampler(sampler, self.scheduler.config),
        }
        if self.text_encoder_2 is None:
            parts |= {"safety_checker": None, "feature_extractor": None}
            pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
        else:
            parts |= {"text_encoder_2": self.text_encoder_2, "tokenizer_2": self.tokenizer_2}
            pipeline = StableDiffusionXLPipeline(
                **parts,
                force_zeros_for_empty_prompt=self.force_zeros_for_empty_prompt,
                # It would mark images where its package happens to be installed.
                add_watermarker=False,
            )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def resolve_device(device: str) -> torch.device:
    """`auto` is a CUDA device where there is one, then Apple's, then the CPU."""
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"--device {device}: not usable here; try --device cpu") from error
    if torch.cuda.is_available():
        # The own one of each process of `accelerate launch`.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The torch type of a `--dtype`; `auto` is bfloat16 where there are instructions for it."""
    if dtype == "auto":
        cpu = torch.cpu.get_capabilities()
        made_for_it = device.type != "cpu" or cpu.get("amx_bf16") or cpu.get("avx512_bf16")
        return torch.bfloat16 if made_for_it else torch.float32
    if dtype not in _DTYPES:
        raise UsageError(f"--dtype {dtype}: unknown; choose one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[dtype]


def load_checkpoint(
    model: str | ModelSource,
    *,
    revision: str | None = None,
    variant: str | None = None,
    config: str | Path | None = None,
    prediction_type: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> StableDiffusion:
    """Load a model in eval mode; `model` is as in `locate`, or what `locate` returned."""
    if isinstance(model, ModelSource):
        source = model
    else:
        source = locate(
            model,
            revision=revision,
            variant=variant,
            config=config,
            prediction_type=prediction_type,
        )
    place = resolve_device(device)
    options: dict[str, Any] = {"torch_dtype": resolve_dtype(dtype, place)}
    # Its bar counts tensors, of a text encoder that is there at once.
    transformers_logging.disable_progress_bar()
    single = source.single_file and open_single_file(
        source.single_file, config=source.folder, prediction_type=source.prediction_type
    )

    def load(kind: Any, component: str) -> Any:
        own = source.unet if component == "unet" else None
        if single and not own:
            with _opening(source, component):
                part = load_part(single, component, options["torch_dtype"])
            require_finite(source, component, part)
            return part.eval().to(place)
        folder = own or source.folder / component
        variant = None if own else variant_of(folder, source.variant)
        with _opening(source, component):
            safe = check_weights(source, component, kind)
            model, report = kind.from_pretrained(
                folder,
                variant=variant,
                output_loading_info=True,
                use_safetensors=safe,
                local_files_only=True,
                **options,
            )
        # Both libraries fill the gaps at random, and say so in a warning alone.
        for name in sorted(report["missing_keys"]):
            raise UsageError(f"--model {source.id}: its {component} lacks the weight {name}")
        require_finite(source, component, model)
        return model.eval().to(place)

    with _opening(source, "scheduler"):
        scheduler = _load_scheduler(source.folder / "scheduler", source.prediction_type)
    second: dict[str, Any] = {}
    if source.is_xl:
        second = {
            "text_encoder_2": load(CLIPTextModelWithProjection, "text_encoder_2"),
            "tokenizer_2": _load_tokenizer(source, "tokenizer_2"),
            "force_zeros_for_empty_prompt": _zeros_for_no_prompt(source),
        }
    vae = load(AutoencoderKL, "vae")
    _require_plain_latents(source, vae)
    return StableDiffusion(
        unet=load(UNet2DConditionModel, "unet"),
        vae=vae,
        text_encoder=load(CLIPTextModel, "text_encoder"),
        tokenizer=_load_tokenizer(source, "tokenizer"),
        scheduler=scheduler,
        source=source,
        **second,
    )


def _load_tokenizer(source: ModelSource, component: str) -> CLIPTokenizer:
    with _opening(source, component):
        return CLIPTokenizer.from_pretrained(source.folder / component)


def _zeros_for_no_prompt(source: ModelSource) -> bool:
    """What an SDXL's index says of the empty prompt; a folder of configs need not have one."""
    index = source.folder / INDEX
    if not index.is_file():
        return True
    with _opening(source, INDEX):
        return bool(read_object(index).get("force_zeros_for_empty_prompt", True))


def _require_plain_latents(source: ModelSource, vae: AutoencoderKL) -> None:
    """Refuse latents that are shifted before they are scaled, which no SD 1.x, 2.x or XL does."""
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if vae.config.get(name) is not None:
            raise UsageError(
                f"--model {source.id}: its autoencoder's {name} is not supported; "
                "expunge takes latents that are scaled alone"
            )


@contextmanager
def _opening(source: ModelSource, component: str) -> Iterator[None]:
    """Turn whatever keeps a part of a model from loading into a UsageError of one line."""
    try:
        yield
    except UsageError:
        raise
    # A stranger's files can be wrong in more ways than the libraries have names for.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(
            f"--model {source.id}: its {component} does not load; get it anew ({reason})"
        ) from error


def _load_scheduler(folder: Path, prediction_type: str | None) -> Any:
    name = str(read_object(folder / "scheduler_config.json").get("_class_name"))
    kind = getattr(schedulers, name, None) if name.isidentifier() else None
    if not isinstance(kind, type) or not issubclass(kind, schedulers.SchedulerMixin):
        raise ValueError(f"{name[:80]!r} is no scheduler")
    told: Any = {"prediction_type": prediction_type} if prediction_type else {}
    return kind.from_pretrained(folder, **told)
