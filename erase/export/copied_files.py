"""What an export copies of a model's folder: under which name, and with which content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from erase.models.folder_check import require_own
from erase.models.model_source import ModelSource
from erase.models.part_weights import (
    DIFFUSERS,
    TRANSFORMERS,
    Layout,
    PartWeights,
    find_weights,
    settings_files,
)
from erase.tensors.weight_files import Weights
from plumbing.errors import UsageError
from plumbing.privacy import published
from plumbing.whole_files import sha256_file

_TEXTS = (".json", ".txt", ".md", ".model")


@dataclass(frozen=True)
class Copied:
    """A file, and what a copy of it is."""

    name: str
    """In the new folder, where weights need no variant to be found."""
    file: Path
    content: bytes | None
    """Of an index or a config that cannot stay as it is; None: byte for byte."""

    def sha256(self) -> str:
        """The hash of the copy."""
        if self.content is None:
            return sha256_file(self.file)
        return hashlib.sha256(self.content).hexdigest()


def copied_part(source: ModelSource, part: str) -> Iterator[Copied]:
    """A part that is loaded: the very files that are read of it."""
    layout, folder = source.architecture.layout(part), source.folder / part
    weights = source.weights_of(part) if layout else None
    yield from _named(part, settings_files(folder, layout), weights)


def copied_beside(
    source: ModelSource, part: str, library: str, variant: str | None
) -> Iterator[Copied]:
    """A part that is not loaded, or a judge: its texts, and the weights that `library` reads.

    What is code is left out; a link out of the model, or a pickle with code, is a UsageError.
    """
    layout = DIFFUSERS if library == "diffusers" else TRANSFORMERS
    top = source.folder / part
    for folder in [top, *sorted(path for path in top.rglob("*") if path.is_dir())]:
        weights = _weights(source, folder, layout, variant)
        texts = [path for path in sorted(folder.iterdir()) if path.suffix in _TEXTS]
        texts = [path for path in texts if path.is_file() and ".index." not in path.name]
        for file in [*texts, *(weights.files if weights else ())]:
            require_own(source.folder, file)
        if weights and not weights.safe:
            Weights(weights.files)
        yield from _named(folder.relative_to(source.folder).as_posix(), texts, weights)


def is_hollow(source: ModelSource, part: str, library: str) -> bool:
    """Whether a part that is not loaded is a model without the weights that would be read."""
    layout = DIFFUSERS if library == "diffusers" else TRANSFORMERS
    folder = source.folder / part
    modelled = (folder / "config.json").is_file()
    return modelled and _weights(source, folder, layout, source.variant) is None


def _weights(
    source: ModelSource, folder: Path, layout: Layout, variant: str | None
) -> PartWeights | None:
    try:
        return find_weights(folder, layout, variant)
    except ValueError as error:
        raise UsageError(f"--model {source.id}: {error}") from error


def _named(place: str, texts: list[Path], weights: PartWeights | None) -> Iterator[Copied]:
    for file in texts:
        yield Copied(f"{place}/{file.name}", file, published(file))
    for name, file in weights.plainly().items() if weights else ():
        index = weights.plain_index() if weights and file == weights.index else None
        yield Copied(f"{place}/{name}", file, published(file) if index is None else index)
