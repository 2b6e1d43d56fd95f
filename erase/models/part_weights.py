"""Which files hold a part's weights: the one rule of reading, hashing, training and copying.

It is that of diffusers' and transformers' `from_pretrained`, so that plain diffusers opens the same
weights. Whatever else lies beside them (a backup, a LoRA, another precision, another framework's
weights) has another name and is passed over. Imports no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erase.models.folder_check import require_own
from plumbing.errors import UsageError
from plumbing.inside import is_below
from plumbing.json_file import read_object

_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_OTHERS = (
    ".safetensors",
    ".bin",
    ".msgpack",
    ".h5",
    ".onnx",
    ".pb",
    ".ckpt",
    ".pt",
    ".pth",
    ".gguf",
)
"""Endings of what may be weights, to be told of where none are found."""


@dataclass(frozen=True)
class Layout:
    """How a library calls its weight files."""

    library: str
    stems: Mapping[str, str]
    """The name without its ending, by the ending, the one that is looked for first before."""
    index_first: bool
    """Whether shards with an index count for more than a single file, or for less."""

    def candidates(self, variant: str | None) -> Iterator[str]:
        """Names of indexes and single files, the one that counts most first."""
        dot = f".{variant}" if variant else ""
        for suffix, stem in self.stems.items():
            single, indexes = f"{stem}{dot}.{suffix}", [f"{stem}.{suffix}.index{dot}.json"]
            if variant and self is DIFFUSERS:
                # As diffusers called it at first.
                indexes.append(f"{stem}.{suffix}{dot}.index.json")
            yield from [*indexes, single] if self.index_first else [single, *indexes]

    def choose(self, names: Collection[str], variant: str | None) -> tuple[str, str | None] | None:
        """The name that counts among those of a folder, and its variant; None if none does.

        A part without weights of the variant has its plain ones, as in diffusers.
        """
        for wanted in dict.fromkeys((variant, None)):
            for name in self.candidates(wanted):
                if name in names:
                    return name, wanted
        return None

    def variants(self, names: Collection[str]) -> list[str]:
        """The variants of which there are weights among the names of a folder."""
        found = set()
        for place in self.candidates("*"):
            before, _, after = place.partition("*")
            longer = (name for name in names if len(name) > len(before) + len(after))
            fit = (name for name in longer if name.startswith(before) and name.endswith(after))
            found |= {name[len(before) : -len(after)] for name in fit}
        return sorted(variant for variant in found if not _SHARD.search(variant))


DIFFUSERS = Layout(
    "diffusers",
    {"safetensors": "diffusion_pytorch_model", "bin": "diffusion_pytorch_model"},
    index_first=True,
)
TRANSFORMERS = Layout(
    "transformers", {"safetensors": "model", "bin": "pytorch_model"}, index_first=False
)
RUN_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""What a run and an export call the denoiser's weights."""


@dataclass(frozen=True)
class PartWeights:
    """The files with a part's weights."""

    files: tuple[Path, ...]
    """One, or shards in order."""
    variant: str | None
    index: Path | None = None
    """What says which weight is in which shard."""
    shards: Mapping[str, str] | None = None
    """The shard's name by the weight's, as the index says."""

    @property
    def safe(self) -> bool:
        """Whether they are safetensors files, and not pickles."""
        return self.files[0].suffix == ".safetensors"

    @property
    def oldest_naming(self) -> bool:
        """Whether the index has the name that diffusers gave a variant's at first."""
        return self.index is not None and self.index.name.endswith(f".{self.variant}.index.json")

    def all(self) -> list[Path]:
        """All that is read: the index, if there is one, and the weights."""
        return [*([self.index] if self.index else []), *self.files]

    def plainly(self) -> dict[str, Path]:
        """Each file by the name under which it is found without a variant's being told."""
        if self.variant is None:
            return {file.name: file for file in self.all()}
        stem, suffix = self.files[0].name.partition(".")[0], self.files[0].suffix
        stem = _SHARD.split(stem)[0]
        if self.index is None:
            return {f"{stem}{suffix}": self.files[0]}
        count = len(self.files)
        shards = {f"{stem}-{i:05}-of-{count:05}{suffix}": f for i, f in enumerate(self.files, 1)}
        return {f"{stem}{suffix}.index.json": self.index, **shards}

    def plain_index(self) -> bytes | None:
        """The index of the files under their plain names; None if it is the one that there is."""
        if self.index is None or self.variant is None:
            return None
        names = {file.name: name for name, file in self.plainly().items()}
        told = read_object(self.index)
        told["weight_map"] = {name: names[shard] for name, shard in (self.shards or {}).items()}
        return (json.dumps(told, indent=2, sort_keys=True) + "\n").encode()


def find_weights(folder: Path, layout: Layout, variant: str | None = None) -> PartWeights | None:
    """The weights of the part in a folder; None if there are none.

    An index that cannot be meant, or names what is not there, is a ValueError.
    """
    chosen = layout.choose(names_in(folder), variant)
    if chosen is None:
        return None
    name, variant = chosen
    if not name.endswith(".json"):
        return PartWeights((folder / name,), variant)
    require_own(folder.parent, folder / name)
    try:
        shards = _read_index(folder / name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder.name}/{name} {error}; get the model anew") from error
    files = tuple(folder / shard for shard in sorted(set(shards.values())))
    return PartWeights(files, variant, folder / name, shards)


def _read_index(index: Path) -> dict[str, str]:
    try:
        shards = read_object(index).get("weight_map")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({error})") from error
    if not isinstance(shards, dict) or not shards or not all(map(_is_file_name, shards.values())):
        raise ValueError("names files outside the folder, or none")
    suffix = f".{index.name.split('.')[1]}"
    there = names_in(index.parent)
    for shard in sorted(set(shards.values())):
        if shard not in there:
            raise ValueError(f"names {shard}, which is not there")
        if not shard.endswith(suffix):
            raise ValueError(f"names {shard}, which is no {suffix} file")
    return shards


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and is_below(name) and "/" not in name


def require_weights(
    what: str, folder: Path, layout: Layout, variant: str | None = None
) -> PartWeights:
    """As `find_weights`, but none at all is a UsageError that begins with `what`."""
    try:
        found = find_weights(folder, layout, variant)
    except ValueError as error:
        raise UsageError(f"{what}: {error}") from error
    if found is None:
        raise none_there(what, folder.name, names_in(folder), layout)
    return found


def none_there(what: str, part: str, names: Collection[str], layout: Layout) -> UsageError:
    """The error for a part without weights under the names that count."""
    return UsageError(f"{what}: {part}/ {_lack(names, layout)}")


def _lack(names: Collection[str], layout: Layout) -> str:
    usual = next(name for name in layout.candidates(None) if not name.endswith(".json"))
    if variants := layout.variants(names):
        *others, last = variants
        if not others:
            return f"has weights only of the variant {last}; add --variant {last}"
        return f"has weights only of the variants {', '.join(others)} and {last}; add --variant"
    beside = [name for name in sorted(names) if name.endswith(_OTHERS)]
    told = f"; {beside[0]} is not read" if beside else ""
    return f"has no weights ({usual}){told}; get the model whole"


def require_variant(
    what: str, parts: Mapping[str, tuple[Layout, Collection[str]]], variant: str | None
) -> None:
    """Refuse, as a UsageError, a variant of which no part of a model has weights.

    `parts` are the names of the files of each part with weights.
    """
    there = {each for layout, names in parts.values() for each in layout.variants(names)}
    if variant is not None and variant not in there:
        rest = f"there are {', '.join(sorted(there))}" if there else "leave it out"
        raise UsageError(f"--variant {variant}: {what} has no weights of it; {rest}")


def settings_files(folder: Path, layout: Layout | None) -> list[Path]:
    """The small files of a part that are read, beside an index; a link out is a UsageError."""
    if layout is not None:
        files = [folder / "config.json"]
    else:
        files = [file for file in sorted(folder.iterdir()) if file.suffix in (".json", ".txt")]
    found = [file for file in files if file.is_file()]
    for file in found:
        require_own(folder.parent, file)
    return found


def run_weights(denoiser: Path) -> PartWeights:
    """The one file with weights that a run has written into its denoiser's folder.

    None, or others that would be read in its place, are a UsageError.
    """
    found = require_weights(str(denoiser.parent), denoiser, DIFFUSERS)
    if [file.name for file in found.all()] != [RUN_WEIGHTS]:
        raise UsageError(
            f"{denoiser.parent}: {denoiser.name}/{found.all()[0].name} is not of the run, and "
            "would be read in the place of its weights; take it out"
        )
    return found


def names_in(folder: Path) -> set[str]:
    """Names of the files in a folder; none of one that is not there."""
    return {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
