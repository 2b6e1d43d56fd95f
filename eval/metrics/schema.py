"""The schema of `evaluation.json`, and its reader and writer; no torch."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.whole_files import replace_file

T = TypeVar("T")
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Metric:
    """A rate in percent, a mean or a distance over `n` images, with its 95 % interval."""

    value: float
    n: int
    ci95: tuple[float, float]


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

    images: int
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


class Evaluation(Protocol):
    """What any kind of `evaluation.json` is written from."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write `evaluation.json` whole and at once."""
    replace_file(path, (json.dumps(evaluation.to_dict(), indent=2) + "\n").encode())


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever is wrong with an evaluation into a UsageError that names its file."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not a readable evaluation: {error}") from error


def read_kind(path: Path, kind: str) -> dict[str, Any]:
    """The JSON of an evaluation; ValueError or KeyError for another schema or kind."""
    data = read_object(path)
    if data["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema {data['schema_version']}, this reads {SCHEMA_VERSION}")
    if data["kind"] != kind:
        raise ValueError(f"an evaluation of kind {data['kind']!r}, expected {kind!r}")
    return data


def parse_control(data: Mapping[str, Any]) -> dict[str, Any]:
    """`control` and `collapsed` of an evaluation's JSON; None where a file has them not yet."""
    control, collapsed = data.get("control"), data.get("collapsed")

    def scores(found: Mapping[str, Any]) -> ControlScores:
        return build(ControlScores, {name: parse_metric(m) for name, m in found.items()})

    if control is not None:
        sides = {k: control[k] and scores(control[k]) for k in ("original", "erased")}
        control = build(Control, control | sides)
    return {
        "control": control,
        "collapsed": None if collapsed is None else tuple(map(str, collapsed)),
    }


def parse_metric(data: Mapping[str, Any] | None) -> Metric | None:
    """A metric from its JSON."""
    if data is None:
        return None
    low, high = data["ci95"]
    return Metric(value=data["value"], n=data["n"], ci95=(low, high))


def build(kind: type[T], data: Mapping[str, Any]) -> T:
    """A dataclass from its JSON; a key that it does not have is a ValueError."""
    unknown = set(data) - {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}")
    return kind(**data)
