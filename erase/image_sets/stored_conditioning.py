"""Encoded prompts on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.shards import Shards, fill
from erase.models.bundle import AT_ONCE, Bundle
from plumbing.processes import Team


@dataclass(frozen=True)
class StoredConditioning:
    """The same of any number of prompts, in files."""

    rows: Mapping[str, Shards]
    """By the field of `Conditioning`."""

    def __len__(self) -> int:
        """The number of prompts, P."""
        return len(self.rows["embeddings"])

    def __getitem__(self, rows: Tensor) -> Conditioning:
        """Read those of some prompts, int64 [B]."""
        return Conditioning(**{name: stored[rows] for name, stored in self.rows.items()})


def store_prompts(
    sd: Bundle, prompts: Sequence[str], folder: Path, team: Team
) -> StoredConditioning:
    """Encode prompts into files below `folder`, or find them there; each process its part."""

    def stored(name: str) -> Shards:
        def encode(shards: Sequence[range]) -> Iterator[Tensor]:
            for rows in shards:
                yield getattr(sd.encode(prompts[rows.start : rows.stop]), name)

        return fill(Shards(folder / name, len(prompts), AT_ONCE), encode, team)

    first = sd.encode(prompts[:1])
    return StoredConditioning({name: stored(name) for name, _ in first.tensors()})
