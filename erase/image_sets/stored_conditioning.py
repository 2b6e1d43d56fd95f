"""Encoded prompts on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from erase.diffusion.conditioning import AT_ONCE, Conditioning, encode_prompts
from erase.models.stable_diffusion import StableDiffusion
from erase.tensors.row_file import Rows, open_rows, write_rows


@dataclass(frozen=True)
class StoredConditioning:
    """The same of any number of prompts, in files."""

    rows: Mapping[str, Rows]
    """By the field of `Conditioning`."""

    def __len__(self) -> int:
        """The number of prompts, P."""
        return len(self.rows["embeddings"])

    def __getitem__(self, rows: Tensor) -> Conditioning:
        """Read those of some prompts, int64 [B]."""
        return Conditioning(**{name: stored[rows] for name, stored in self.rows.items()})


def store_prompts(
    sd: StableDiffusion, prompts: Sequence[str], stem: Path, key: str
) -> StoredConditioning:
    """Encode prompts into files beside `stem`, or find them there; `key` names what they are of."""
    first = encode_prompts(sd, prompts[:1])
    stored = {}
    for name, _ in first.tensors():

        def encode(start: int, name: str = name) -> Iterator[Tensor]:
            for at in range(start, len(prompts), AT_ONCE):
                yield getattr(encode_prompts(sd, prompts[at : at + AT_ONCE]), name)

        path = stem.with_name(f"{stem.name}.{name}.safetensors")
        found = open_rows(path, key)
        stored[name] = found or write_rows(path, key, len(prompts), AT_ONCE, encode)
    return StoredConditioning(stored)
