"""The schema of `evaluation.json`, and its reader and writer; no torch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.record import Amount, Count, Finite, parse_record, to_json
from plumbing.whole_files import replace_file

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Metric:
    """A rate in percent, a mean or a distance over `n` images, with its 95 % interval."""

    value: Finite
    n: Count
    ci95: tuple[Finite, Finite]


@dataclass(frozen=True)
class Cost:
    """What images took, whenever they were drawn."""

    images: Count
    passes: Count | None
    """Through the denoiser: a forward pass of one row is 1, a backward pass 2; None: not known."""
    seconds: Amount


class Named(TypedDict):
    """What measured or was measured."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ControlScores:
    """One model's control images: of other things than the concept, all from one noise."""

    flat: Metric
    """Share of the images that are one colour, next to nothing else."""
    variety: Metric
    """How far images of different prompts are apart, in % of the range of colours."""
    own: Metric | None
    """How often an image is nearer to the original's image of its own prompt than to that of
    another, in %; 50 is chance. None for the original, or without one."""


@dataclass(frozen=True)
class Control:
    """Whether a model still draws what it is asked, by its control images; no judge is needed."""

    images: Count
    """Of either model; they count for nothing else."""
    original: ControlScores | None
    erased: ControlScores


def differences(
    mine: Mapping[str, Any], theirs: Mapping[str, Any], parts: Iterable[str]
) -> list[str]:
    """Dotted names of the keys that differ within the named parts of two evaluations."""
    pairs = [
        (f"{part}.{key}", mine[part].get(key), theirs[part].get(key))
        for part in parts
        for key in {**mine[part], **theirs[part]}
    ]
    return [name for name, a, b in pairs if a != b]


class Evaluation:
    """What any kind of `evaluation.json` has; a kind is a frozen dataclass that adds its own."""

    kind: str
    protocol: Any
    """How it was made: has at least `images`, a number or one by split, and `rows_sha256`."""
    models: dict[str, Named]
    """`original` and `erased`, as far as there are."""
    notes: dict[str, str]
    """Why something is missing, by its name."""
    versions: dict[str, str]
    """Of the libraries that drew and measured."""
    control: Control | None
    collapsed: tuple[str, ...] | None
    """What says that the erased model draws nothing right."""
    cost: dict[str, Cost]
    """By model; empty in files of older versions."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, schema and kind first."""
        data = to_json(self)
        return {key: data.pop(key) for key in ("schema_version", "kind")} | data


T = TypeVar("T", bound=Evaluation)


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write `evaluation.json` whole and at once."""
    replace_file(path, (json.dumps(evaluation.to_dict(), indent=2) + "\n").encode())


def read_kind(path: Path, kind: type[T]) -> T:
    """An evaluation of one kind, every value of which is what its type says.

    UsageError for another schema or kind, a key that it does not have, or no such file at all: a
    verdict on a NaN would be luck.
    """
    try:
        data = read_object(path)
        if data.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(f"schema {data.get('schema_version')}, this reads {SCHEMA_VERSION}")
        if data.get("kind") != kind.kind:
            raise ValueError(f"an evaluation of kind {data.get('kind')!r}, expected {kind.kind!r}")
        return parse_record(kind, data, exact=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable evaluation: {error}") from error
