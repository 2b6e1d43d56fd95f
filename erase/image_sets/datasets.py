"""The forget set and the retain set: images drawn or given, encoded once, then cached."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.diffusion.latents import encode_images
from erase.image_sets.captioned_folder import hash_captions, read_pixels
from erase.image_sets.drawing import Drawing, Progress, draw_batches, image_seed
from erase.image_sets.shards import Make, Shards, fill
from erase.image_sets.stored_conditioning import StoredConditioning, store_prompts
from erase.models.bundle import Bundle
from plumbing.processes import ALONE, Team

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetainSet:
    """N encoded images with their captions among P prompts; the large parts stay on disk."""

    posterior: Shards | Tensor
    """[N, 2, C, h, w]: mean and log-variance of the autoencoder's posterior, unscaled."""
    prompt_index: Tensor
    """[N], which prompt describes each image."""
    prompts: tuple[str, ...]
    conditioning: Conditioning | StoredConditioning
    """Of the P prompts."""

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.posterior)


@dataclass(frozen=True)
class ForgetSet(RetainSet):
    """Images of the concept, and what each of their prompts may be relabelled to."""

    relabel_prompts: tuple[str, ...]
    relabel_conditioning: Conditioning
    """Of the R relabel prompts."""
    relabel_choices: tuple[Tensor, ...]
    """For each of the P prompts, the places of its relabel prompts among the R."""


@dataclass(frozen=True)
class AnchorSet(RetainSet):
    """Images of what takes the concept's place, and the concept's prompt that each stands for."""

    concept_index: Tensor
    """[N], which of the F prompts of the concept each image is to be the answer to."""
    concept_conditioning: Conditioning
    """Of the F prompts."""


@dataclass(frozen=True)
class PromptSet:
    """Prompts of the concept, without images."""

    prompts: tuple[str, ...]
    conditioning: Conditioning
    """Of the P prompts."""
    nothing: Conditioning
    """What guidance leads away from, of one prompt."""


def draw_set(
    sd: Bundle,
    prompts: Sequence[str],
    count: int,
    *,
    seed: int,
    role: str,
    drawing: Drawing,
    cache: Path,
    progress: Progress = lambda images: None,
    team: Team = ALONE,
    also: Sequence[str] = (),
) -> RetainSet:
    """`count` images drawn by the model, one prompt after the other and around again.

    Each image has a seed of its own, made from `seed`, `role` and its number. The processes of a
    team draw a share of the batches each. Prompts `also` are encoded beside the images' own.
    """
    captions = [prompts[i % len(prompts)] for i in range(count)]
    seeds = [image_seed(seed, role, i) for i in range(count)]
    made_from = {
        "captions": captions,
        "seeds": seeds,
        **asdict(drawing),
        "dtype": str(drawing.dtype),
    }

    def pixels(batches: Sequence[range]) -> Iterator[Tensor]:
        return draw_batches(sd, captions, seeds, batches, drawing, progress)

    sizes = drawing.batch_size, team
    return _stored(cache, role, sd, made_from, captions, also, pixels, progress, *sizes)


def read_set(
    sd: Bundle,
    captions: dict[Path, str],
    *,
    flag: str,
    role: str,
    cache: Path,
    batch_size: int,
    progress: Progress = lambda images: None,
    team: Team = ALONE,
    also: Sequence[str] = (),
) -> RetainSet:
    """Images and captions as `read_captions` found them, encoded.

    Images are scaled and cropped about the centre to the model's size. A damaged one is a
    UsageError that names `flag` and the file.
    """
    made_from = {"images": hash_captions(captions), "size": sd.native_size, "batch": batch_size}
    # Of how files become pixels, which their bytes do not tell.
    made_from["reading"] = 2
    paths, texts = list(captions), list(captions.values())

    def pixels(batches: Sequence[range]) -> Iterator[Tensor]:
        for rows in batches:
            images = [read_pixels(paths[row], flag, sd.native_size) for row in rows]
            progress(len(rows))
            yield torch.stack(images)

    return _stored(cache, role, sd, made_from, texts, also, pixels, progress, batch_size, team)


def add_relabels(
    sd: Bundle, images: RetainSet, candidates: Callable[[str], Sequence[str]]
) -> ForgetSet:
    """Give each prompt its relabel prompts: `candidates` maps a forget prompt to one or more."""
    of_each = [tuple(candidates(prompt)) for prompt in images.prompts]
    place = {prompt: i for i, prompt in enumerate(dict.fromkeys(p for c in of_each for p in c))}
    return ForgetSet(
        **vars(images),
        relabel_prompts=tuple(place),
        relabel_conditioning=sd.encode(tuple(place)),
        relabel_choices=tuple(torch.tensor([place[p] for p in c]) for c in of_each),
    )


def _stored(
    cache: Path,
    role: str,
    sd: Bundle,
    made_from: dict[str, Any],
    captions: Sequence[str],
    also: Sequence[str],
    pixels: Make,
    progress: Progress,
    batch_size: int,
    team: Team,
) -> RetainSet:
    """The set from the cache, as far as it was made from the same things; the rest is made."""
    everything = {
        **made_from,
        **({"also": list(also)} if also else {}),
        "layout": 3,
        "model": sd.source.digest,
        "device": sd.denoiser.device.type,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
    }
    key = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
    folder = cache / f"{role}-{key[:16]}"
    old = next(cache.glob(f"*{role}-*.safetensors*"), None)
    if old and team.leads and not folder.exists():
        log.warning("%s is of an older version, not read, and may be deleted", old)

    def encode(batches: Sequence[range]) -> Iterator[Tensor]:
        for batch in pixels(batches):
            yield torch.stack(encode_images(sd.vae, batch), dim=1)

    prompts = tuple(dict.fromkeys((*captions, *also)))
    place = {prompt: i for i, prompt in enumerate(prompts)}
    images = Shards(folder / "images", len(captions), batch_size)
    return RetainSet(
        posterior=fill(images, encode, team, progress),
        prompt_index=torch.tensor([place[caption] for caption in captions]),
        prompts=prompts,
        conditioning=store_prompts(sd, prompts, folder, team),
    )
