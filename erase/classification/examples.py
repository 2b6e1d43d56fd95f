"""Images and their labels, whatever holds them, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import default_collate

from plumbing.errors import UsageError


class Source(Protocol):
    """What `torch.utils.data.Dataset` promises, where it has a length: pairs of image and label."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """One image and its label."""
        ...


@dataclass(frozen=True)
class Examples:
    """Images [N, C, H, W] as the model takes them, and labels, int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """How many there are, N."""
        return len(self.labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Some of them: images [B, C, H, W], labels [B]."""
        return self.images[indices], self.labels[indices]

    def take(self, indices: Tensor) -> Examples:
        """Some of them, as a set of its own."""
        return Examples(*self.batch(indices))

    def to(self, device: torch.device) -> Examples:
        """The same on a device."""
        return Examples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Read:
    """A dataset that is asked for its items batch by batch, so that it may be larger than memory.

    What it draws at random it draws anew for each batch (augmentations, for one).
    """

    source: Source

    def __len__(self) -> int:
        """How many items it has."""
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Some of its items: images [B, …], labels, int64 [B]."""
        images, labels = default_collate([self.source[int(index)] for index in indices])
        return images, labels.long()


Set = Examples | Read


def as_set(given: Any, name: str) -> Set:
    """A forget or retain set from a torch Dataset, or from a pair of tensors (images, labels).

    One that is empty, or whose halves are of different length, is a UsageError.
    """
    if isinstance(given, Examples | Read):
        found = given
    elif isinstance(given, tuple | list) and all(isinstance(part, Tensor) for part in given):
        images, labels = given
        if len(images) != len(labels):
            raise UsageError(f"{name}: {len(images)} images, but {len(labels)} labels")
        found = Examples(images, labels.long())
    else:
        found = Read(given)
    if len(found) == 0:
        raise UsageError(f"{name} is empty; give at least one example")
    return found


def in_order(examples: Set, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a set from its first to its last."""
    for indices in torch.arange(len(examples)).split(batch_size):
        yield examples.batch(indices)


def shuffled(
    sets: Sequence[Set], batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of several sets together, each example once, in random order.

    Besides images and labels each has the number of the set that an example is from, int64 [B].
    """
    numbers = torch.cat([torch.full((len(part),), i) for i, part in enumerate(sets)])
    places = torch.cat([torch.arange(len(part)) for part in sets])
    for chosen in torch.randperm(len(places), generator=generator).split(batch_size):
        number, place = numbers[chosen], places[chosen]
        # In the sets' order within the batch, which is random as a whole.
        parts = [
            part.batch(place[number == i]) for i, part in enumerate(sets) if (number == i).any()
        ]
        images, labels = (torch.cat(column) for column in zip(*parts, strict=True))
        yield images, labels, number.sort().values


def require_labels(labels: Tensor, classes: int) -> None:
    """Refuse labels that a head of so many outputs does not have, as a UsageError."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UsageError(
            f"labels from {low} to {high} do not fit a model of {classes} outputs; "
            f"number them from 0 to {classes - 1}"
        )
