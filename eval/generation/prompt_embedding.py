"""Prompts as a diffusers text-to-image pipeline is told them, Stable Diffusion's or SDXL's."""

import logging
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import torch

_PROMPT = ("prompt_embeds", "pooled_prompt_embeds")

Embeddings = Mapping[str, torch.Tensor]
"""Arguments of a pipeline that tell it of one prompt, each [1, …]."""


@torch.no_grad()
def encode(pipeline: Any, prompts: Set[str]) -> dict[str, Embeddings]:
    """What each distinct prompt is to the pipeline.

    One at a time: in a batch the rounding, and so the image, would hang on the neighbours.
    """
    device = pipeline._execution_device
    found = {}
    with _no_word_of_prompts():
        for prompt in sorted(prompts):
            told = pipeline.encode_prompt(
                prompt=prompt,
                device=device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            # SDXL's pipelines give the pooled embedding too, and the negative ones between.
            found[prompt] = dict(zip(_PROMPT, told[::2], strict=False))
    return found


@torch.no_grad()
def encode_nothing(pipeline: Any) -> Embeddings:
    """What guidance leads away from."""
    told = pipeline.encode_prompt(
        prompt="",
        device=pipeline._execution_device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
    )
    return {f"negative_{n}": e for n, e in zip(_PROMPT, told[1::2], strict=False)}


@contextmanager
def _no_word_of_prompts() -> Iterator[None]:
    """Keep diffusers from quoting the end of each prompt that is too long, perhaps an explicit one.

    Such prompts are cut where the text encoder ends, by every tool alike.
    """
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
