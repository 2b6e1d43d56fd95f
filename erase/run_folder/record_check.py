"""Is a stranger's run.json what it must be, and does nothing in its folder lead out of it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plumbing.errors import UsageError
from plumbing.inside import is_below

_LARGEST = 1 << 53
"""Beyond it no number of a run.json makes sense."""
_TEXTS = ("command", "method")
_MAPPINGS = (
    *("concept", "config", "mask", "seconds", "versions", "inputs", "weights", "asked"),
    *("training", "stopped", "guard", "drawn"),
)
_ALL_TEXT = ("versions", "inputs", "weights", "asked", "concept")
_NAMED = ("weights",)
_COUNTED = {"mask": ("kept", "total"), "training": ("micro_batch",)}
_ROWS = {"blocks": ("part", "kept", "total", "percent"), "kinds": ("part", "kept", "total")}


def require_model(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse, as a UsageError, the folder of a command that leaves no model."""
    if record.get("command") == "classification":
        raise UsageError(
            f"{path}: of `expunge classification`, whose results are in results.md there; "
            "give the folder of an erasure"
        )


def check_record(path: Path, record: Mapping[str, Any], needed: tuple[str, ...]) -> None:
    """Refuse, as a UsageError, a record that lacks what is `needed` or has other types."""
    for problem in _problems(record, needed):
        raise UsageError(f"{path}: {problem}; get the run folder anew, or make the run again")


def _problems(record: Mapping[str, Any], needed: tuple[str, ...]) -> Iterator[str]:
    for key in needed:
        if record.get(key) is None:
            yield f"it has no {key}"
        elif key == "base" and not (isinstance(record[key], dict) and record[key].get("id")):
            yield "it does not tell its base"
    for key in _TEXTS:
        if not isinstance(record.get(key, ""), str | None):
            yield f"{key} is no text"
    if not isinstance(record.get("finished"), str | None):
        yield "finished is no date"
    for key in _MAPPINGS:
        if not isinstance(record.get(key, {}), dict | None):
            yield f"{key} is no object"
            return
    for key in _ALL_TEXT:
        if not all(isinstance(value, str) for value in (record.get(key) or {}).values()):
            yield f"{key} holds what is no text"
    concepts = record.get("concepts", [])
    if not isinstance(concepts, list) or not all(isinstance(c, str) and c for c in concepts):
        yield "concepts are no list of texts"
    yield from _base_problems(record.get("base"))
    yield from _name_problems(record)
    yield from _count_problems(record)
    if not _small(record):
        yield "it has a number that is none, or too large"


def _base_problems(base: Any) -> Iterator[str]:
    if base is None:
        return
    if not isinstance(base, dict):
        yield "base is no object"
        return
    for key in ("id", "digest"):
        if not isinstance(base.get(key, ""), str):
            yield f"base.{key} is no text"
    for key in ("revision", "variant", "config", "prediction_type"):
        if not isinstance(base.get(key), str | None):
            yield f"base.{key} is no text"
    files = base.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        yield "base.files are no hashes"


def _name_problems(record: Mapping[str, Any]) -> Iterator[str]:
    """Names of files that are looked for below the run folder."""
    for key in _NAMED:
        for name in record.get(key) or {}:
            if not is_below(name):
                yield f"{key} names a file outside the folder"


def _count_problems(record: Mapping[str, Any]) -> Iterator[str]:
    for key, names in _COUNTED.items():
        found = record.get(key) or {}
        if not all(_is_count(found.get(name, 0)) for name in names):
            yield f"{key} has a count that is none"
    for key, names in _ROWS.items():
        rows = record.get(key, [])
        if not isinstance(rows, list) or not all(_is_row(row, names) for row in rows):
            yield f"{key} are no list of parts"
    seconds = (record.get("seconds") or {}).values()
    if not all(map(_is_number, [*seconds, record.get("peak_memory_mb") or 0])):
        yield "seconds or peak_memory_mb hold what is no number"


def _is_row(row: Any, names: tuple[str, ...]) -> bool:
    if not isinstance(row, dict) or not all(name in row for name in names):
        return False
    return isinstance(row["part"], str) and all(_is_number(row[name]) for name in names[1:])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _small(value: Any) -> bool:
    """Whether all numbers in it are finite and can be meant."""
    if isinstance(value, dict):
        return all(map(_small, value.values()))
    if isinstance(value, list):
        return all(map(_small, value))
    if not _is_number(value):
        return True
    return abs(value) <= _LARGEST if isinstance(value, int) else math.isfinite(value)
