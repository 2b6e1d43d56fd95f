"""The forget set and the retain set: images drawn or given, encoded once, then cached."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import Tensor

from erase.checkpoint import StableDiffusion
from erase.conditioning import Conditioning, encode_prompts
from erase.diffusion import autocast, encode_images
from erase.images import hash_captions, read_pixels
from erase.tensor_file import write_tensors

log = logging.getLogger(__name__)
Progress = Callable[[int], object]
_TENSORS = ("mean", "logvar", "prompt_index")


@dataclass(frozen=True)
class RetainSet:
    """N encoded images with their captions among P prompts; all tensors on the CPU."""

    mean: Tensor
    """[N, 4, h, w], of the autoencoder's posterior, unscaled."""
    logvar: Tensor
    """[N, 4, h, w]"""
    prompt_index: Tensor
    """[N], which prompt describes each image."""
    prompts: tuple[str, ...]
    conditioning: Conditioning
    """Of the P prompts."""

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.mean)


@dataclass(frozen=True)
class ForgetSet(RetainSet):
    """Images of the concept, and what each of their prompts may be relabelled to."""

    relabel_prompts: tuple[str, ...]
    relabel_conditioning: Conditioning
    """Of the R relabel prompts."""
    relabel_choices: tuple[Tensor, ...]
    """For each of the P prompts, the places of its relabel prompts among the R."""


@dataclass(frozen=True)
class Drawing:
    """How images are drawn."""

    sampler: str
    steps: int
    guidance_scale: float
    batch_size: int
    dtype: torch.dtype = torch.float32


def draw_set(
    sd: StableDiffusion,
    prompts: Sequence[str],
    count: int,
    *,
    seed: int,
    role: str,
    drawing: Drawing,
    cache: Path,
    progress: Progress = lambda images: None,
) -> RetainSet:
    """`count` images drawn by the model, one prompt after the other and around again.

    Each image has a seed of its own, made from `seed`, `role` and its number.
    """
    captions = [prompts[i % len(prompts)] for i in range(count)]
    seeds = [_image_seed(seed, role, i) for i in range(count)]
    made_from = {
        "captions": captions,
        "seeds": seeds,
        **asdict(drawing),
        "dtype": str(drawing.dtype),
    }
    return _cached(
        cache, role, sd, made_from, captions, lambda: _draw(sd, captions, seeds, drawing, progress)
    )


def read_set(
    sd: StableDiffusion,
    captions: dict[Path, str],
    *,
    flag: str,
    role: str,
    cache: Path,
    batch_size: int,
    progress: Progress = lambda images: None,
) -> RetainSet:
    """Images and captions as `read_captions` found them, encoded.

    Images are scaled and cropped about the centre to the model's size. A damaged one is a
    UsageError that names `flag` and the file.
    """
    made_from = {"images": hash_captions(captions), "size": sd.image_size, "batch": batch_size}

    def pixels() -> Iterator[Tensor]:
        paths = list(captions)
        for start in range(0, len(paths), batch_size):
            batch = [read_pixels(p, flag, sd.image_size) for p in paths[start : start + batch_size]]
            progress(len(batch))
            yield torch.stack(batch)

    return _cached(cache, role, sd, made_from, list(captions.values()), pixels)


def add_relabels(
    sd: StableDiffusion, images: RetainSet, candidates: Callable[[str], Sequence[str]]
) -> ForgetSet:
    """Give each prompt its relabel prompts: `candidates` maps a forget prompt to one or more."""
    of_each = [tuple(candidates(prompt)) for prompt in images.prompts]
    place = {prompt: i for i, prompt in enumerate(dict.fromkeys(p for c in of_each for p in c))}
    return ForgetSet(
        **{name: getattr(images, name) for name in (*_TENSORS, "prompts", "conditioning")},
        relabel_prompts=tuple(place),
        relabel_conditioning=encode_prompts(sd, tuple(place)),
        relabel_choices=tuple(torch.tensor([place[p] for p in c]) for c in of_each),
    )


def _draw(
    sd: StableDiffusion,
    captions: Sequence[str],
    seeds: Sequence[int],
    drawing: Drawing,
    progress: Progress,
) -> Iterator[Tensor]:
    pipeline = sd.pipeline(drawing.sampler)
    for start in range(0, len(captions), drawing.batch_size):
        chunk = slice(start, start + drawing.batch_size)
        with autocast(pipeline.device, drawing.dtype):
            images: Any = pipeline(
                list(captions[chunk]),
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[chunk]],
                num_inference_steps=drawing.steps,
                guidance_scale=drawing.guidance_scale,
                output_type="pt",
            ).images  # pyright: ignore[reportAttributeAccessIssue]
        progress(len(images))
        yield images.float() * 2 - 1


def _image_seed(seed: int, role: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{role}/{number}".encode()).digest()
    return int.from_bytes(digest[:4])


def _cached(
    cache: Path,
    role: str,
    sd: StableDiffusion,
    made_from: dict[str, Any],
    captions: Sequence[str],
    pixels: Callable[[], Iterable[Tensor]],
) -> RetainSet:
    """The set from the cache, if there is one made from the same things; else make and keep it."""
    everything = {
        **made_from,
        "model": sd.source.digest,
        "device": sd.unet.device.type,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
    key = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    path = cache / f"{role}-{key[:16]}.safetensors"
    prompts = tuple(dict.fromkeys(captions))
    found = _load(path, key, prompts)
    if found is not None:
        log.info("%s set: %d images from %s", role, len(found), path)
        return found
    mean, logvar = zip(*(encode_images(sd.vae, batch) for batch in pixels()), strict=True)
    # The layout chooses the convolution's kernel, and so its last bits: what is fresh must lie as
    # what comes from the cache.
    tensors = {
        "mean": torch.cat(mean).contiguous(),
        "logvar": torch.cat(logvar).contiguous(),
        "prompt_index": torch.tensor([prompts.index(caption) for caption in captions]),
    }
    conditioning = encode_prompts(sd, prompts)
    cache.mkdir(parents=True, exist_ok=True)
    write_tensors(path, {**tensors, **dict(conditioning.tensors())}, {"key": key})
    return RetainSet(**tensors, prompts=prompts, conditioning=conditioning)


def _load(path: Path, key: str, prompts: tuple[str, ...]) -> RetainSet | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if file.metadata()["key"] == key:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                images = {name: found.pop(name) for name in _TENSORS}
                return RetainSet(**images, prompts=prompts, conditioning=Conditioning(**found))
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        log.warning("%s is damaged (%s): making it again", path, error)
    return None
