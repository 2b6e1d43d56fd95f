"""What a UNet is told of a prompt: its text embedding and, for SDXL, two vectors more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from erase.models.stable_diffusion import StableDiffusion
AT_ONCE = 64


@dataclass(frozen=True)
class Conditioning:
    """Of P prompts; tensors in float32."""

    embeddings: Tensor
    """[P, L, D], what the UNet attends to."""
    pooled: Tensor | None = None
    """[P, E], of SDXL's second text encoder."""
    time_ids: Tensor | None = None
    """[P, 6], SDXL's sizes: (height, width) of the original image, of its crop's corner, of what is
    asked for."""

    def __len__(self) -> int:
        """The number of prompts, P."""
        return len(self.embeddings)

    def __getitem__(self, rows: Tensor | slice) -> Conditioning:
        """Those of some prompts, in the order of `rows` (int64 [B])."""
        return Conditioning(**{name: tensor[rows] for name, tensor in self.tensors()})

    def to(self, place: torch.device | torch.dtype) -> Conditioning:
        """The same on another device, or in another type."""
        return Conditioning(**{name: tensor.to(place) for name, tensor in self.tensors()})

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that there are, by field."""
        for field in fields(self):
            tensor = getattr(self, field.name)
            if tensor is not None:
                yield field.name, tensor

    @property
    def added(self) -> dict[str, Tensor] | None:
        """What diffusers' UNets take as `added_cond_kwargs`."""
        if self.pooled is None or self.time_ids is None:
            return None
        return {"text_embeds": self.pooled, "time_ids": self.time_ids}


def join(parts: Sequence[Conditioning]) -> Conditioning:
    """Several after each other, of one kind of model."""
    tensors = [dict(part.tensors()) for part in parts]
    return Conditioning(**{name: torch.cat([t[name] for t in tensors]) for name in tensors[0]})


@torch.no_grad()
def encode_prompts(sd: StableDiffusion, prompts: Sequence[str]) -> Conditioning:
    """Encode as the model's diffusers pipeline does, on the CPU; long prompts are cut at L tokens.

    SDXL is told that images are uncropped and of the model's own size, as it is when it draws.
    """
    chunks = [prompts[i : i + AT_ONCE] for i in range(0, len(prompts), AT_ONCE)]
    return join([_encode_chunk(sd, chunk) for chunk in chunks])


def encode_no_prompt(sd: StableDiffusion) -> Conditioning:
    """What guidance leads away from, of one prompt: the empty prompt or, if so told, zeros."""
    empty = encode_prompts(sd, ("",))
    if not sd.force_zeros_for_empty_prompt or empty.pooled is None:
        return empty
    zeros = torch.zeros_like
    return replace(empty, embeddings=zeros(empty.embeddings), pooled=zeros(empty.pooled))


def _encode_chunk(sd: StableDiffusion, prompts: Sequence[str]) -> Conditioning:
    first = _run(sd.tokenizer, sd.text_encoder, prompts)
    if sd.text_encoder_2 is None:
        return Conditioning(first[0].float().cpu())
    second = _run(sd.tokenizer_2, sd.text_encoder_2, prompts)
    # SDXL was trained on the last layer but one of both.
    states = [each.hidden_states[-2].float().cpu() for each in (first, second)]
    size = sd.image_size
    time_ids = torch.tensor([[size, size, 0, 0, size, size]]).float()
    return Conditioning(
        embeddings=torch.cat(states, dim=-1),
        pooled=second[0].float().cpu(),
        time_ids=time_ids.repeat(len(prompts), 1),
    )


def _run(tokenizer: Any, text_encoder: Any, prompts: Sequence[str]) -> Any:
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return text_encoder(tokens.input_ids.to(text_encoder.device), output_hidden_states=True)
