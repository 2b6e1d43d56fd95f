"""Logs that survive a kill and a flipped bit: a JSON object a line, with its checksum in it."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from plumbing.json_file import parse
from plumbing.whole_files import naming, replace_file

log = logging.getLogger(__name__)
Record = TypeVar("Record")
Append = Callable[[Iterable[Mapping[str, Any]]], None]
_SUM = "crc32"


@contextmanager
def open_journal(path: Path) -> Iterator[Append]:
    """Give a function that appends records; what a kill has torn off the last line is cut first.

    What was appended survives the end of the process. One process may write a file at a time.
    """
    with naming(path), path.open("a+b") as file:
        _cut_torn(file)

        def append(records: Iterable[Mapping[str, Any]]) -> None:
            file.write(b"".join(map(_line, records)))
            file.flush()

        yield append


def write_journal(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a journal whole, in place of what was there."""
    replace_file(path, b"".join(map(_line, records)))


def read_journal(path: Path, make: Callable[[dict[str, Any]], Record]) -> list[Record]:
    """What `make` makes of each sound record; of no file, nothing.

    Lines that are damaged, or of which `make` raises a ValueError, KeyError, TypeError or the like,
    are left out, and one warning says how many. A last line that a kill has torn is no damage.
    """
    *lines, _ = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    found, damaged = [], []
    for number, line in enumerate(lines, 1):
        try:
            found.append(make(_checked(line)))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            damaged.append(number)
    if damaged:
        told = f"{len(damaged)} of {len(lines)} lines are damaged, the first is line {damaged[0]}"
        log.warning("%s: %s; what they told of is done again", path, told)
    return found


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps({**record, _SUM: _sum(record)}, ensure_ascii=False).encode() + b"\n"


def _checked(line: bytes) -> dict[str, Any]:
    record = dict(parse(line.decode()))
    if record.pop(_SUM) != _sum(record):
        raise ValueError("its checksum is wrong")
    return record


def _sum(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record, sort_keys=True).encode()):08x}"


def _cut_torn(file: BinaryIO) -> None:
    file.seek(0)
    last = file.read().rpartition(b"\n")
    file.truncate(len(last[0]) + len(last[1]))
    file.seek(0, os.SEEK_END)
