"""What a denoiser is told of a prompt: its text embedding and, for some, one or two vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """Of P prompts; tensors in float32."""

    embeddings: Tensor
    """[P, L, D], what the denoiser attends to."""
    pooled: Tensor | None = None
    """[P, E], one vector a prompt, as of SDXL's second text encoder."""
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
