"""JSON objects as frozen dataclasses: one strict reader, one writer; every wrong type is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")
_LARGEST = 1 << 53
"""Beyond it no whole number of a record makes sense, and readers in other languages round it."""
_MOST = sys.float_info.max
Count = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)]
"""A number of things."""
Whole = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
Finite = Annotated[float, msgspec.Meta(ge=-_MOST, le=_MOST)]
"""A number that is neither NaN nor infinite; a whole one becomes a float."""
Measured = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]
"""A loss and the like; what is beyond it is no measurement."""
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""Seconds, megabytes and the like."""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Scalar = str | bool | Whole | Finite | None
Setting = Scalar | list[Scalar]
"""What a mapping holds whose keys are not known beforehand."""


def parse_record(kind: type[T], data: object, *, exact: bool = False) -> T:
    """`data`, as `plumbing.json_file` reads it, as the dataclass `kind`.

    A value of another type, one that is missing, a number out of range: a ValueError that begins
    with the name of its field. Keys that `kind` does not have are ignored, or refused if `exact`.
    """
    try:
        found = msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).replace("`", "").partition(" - at ")
        raise ValueError(f"{place.replace('$.', '')}: {reason}".removeprefix(": ")) from None
    for name in _unknown(data, to_json(found)) if exact else ():
        raise ValueError(f"unknown key {name!r}")
    return found


def to_json(record: Any) -> dict[str, Any]:
    """A dataclass as JSON values, its fields in their order; `parse_record` undoes it."""
    # Not msgspec's own way, which leaves out what a file that was read had not.
    return json.loads(json.dumps(asdict(record)))


def _unknown(data: Any, known: Any, place: str = "") -> Iterator[str]:
    """Names of the keys that `data` has and `known` has not."""
    if isinstance(data, dict):
        for key, value in data.items():
            if key in known:
                yield from _unknown(value, known[key], f"{place}{key}.")
            else:
                yield place + key
    elif isinstance(data, list):
        for item, other in zip(data, known, strict=True):
            yield from _unknown(item, other, place)
