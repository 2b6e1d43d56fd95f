"""The JSONL files beside an evaluation, read line by line; what is broken is left out and said."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from eval.generation.image_log import GENERATIONS, Generation
from plumbing.json_file import parse as parse_json
from plumbing.record import parse_record

T = TypeVar("T")
Generations = Mapping[str, Mapping[str, Generation]]
"""By model (`original`, `erased`), then by id."""


def parsed(path: Path, parse: Callable[[Any], T], problems: list[str]) -> Iterator[T]:
    """What `parse` makes of each line of a file; no file is no line."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror})")
        return
    broken = 0
    for line in filter(str.strip, lines):
        try:
            yield parse(parse_json(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            broken += 1
    if broken:
        problems.append(f"{broken} of the lines of {path.name} are broken and left out")


def read_generations(place: Path, problems: list[str]) -> Generations:
    """What an evaluation's folder says was drawn by each model."""
    row = partial(parse_record, Generation)
    return {
        model: {g.id: g for g in parsed(place / model / GENERATIONS, row, problems)}
        for model in ("original", "erased")
    }
