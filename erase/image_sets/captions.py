"""Captions of images: a table of them, or a text file beside each."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from erase.image_sets.loose_names import LooseNames
from plumbing.csv_table import read_table
from plumbing.errors import UsageError
from plumbing.image_folder import ignored
from plumbing.inside import is_below
from plumbing.json_file import parse
from plumbing.text_file import lines_of, read_any_text, read_text, require_plain

log = logging.getLogger(__name__)

TABLES = ("metadata.jsonl", "metadata.csv")
"""As Hugging Face's `imagefolder` has them; the first that is there is read."""
_PARQUET = "metadata.parquet"
COLUMNS = ("text", "caption", "prompt")
"""Where a table's captions are looked for, in this order."""
BESIDE = (".txt", ".caption")
"""The ends of caption files' names, as kohya's scripts have them, in this order."""


def find_table(folder: Path, flag: str) -> Path | None:
    """The table of captions in a folder; UsageError for one that is not read."""
    names = LooseNames()
    found = [path for name in (*TABLES, _PARQUET) if (path := names.find(folder, name))]
    if not found:
        return None
    table, *others = found
    if table.suffix.lower() == ".parquet":
        raise UsageError(f"{flag} {table}: is not read; save it as {' or '.join(TABLES)}")
    for other in others:
        log.warning("%s %s: %s is read, and not %s", flag, folder, table.name, other.name)
    return table


def captions_of_table(table: Path, flag: str) -> dict[Path, str]:
    """The images that a table names and their captions; UsageError names the line at fault."""
    in_json = table.suffix.lower() == ".jsonl"
    names = LooseNames()
    captions: dict[Path, str] = {}
    places: dict[Path, str] = {}
    several = []
    for place, name, caption in (_json_rows if in_json else _csv_rows)(table, flag):
        if not isinstance(name, str) or not is_below(name):
            raise UsageError(f"{place}: {str(name)[:80]!r} is not in the folder")
        path = names.find(table.parent, name) or table.parent / name
        if path in captions:
            before = places[path].rpartition(", ")[2]
            raise UsageError(f"{place}: {path.name} has a caption already, from {before}; keep one")
        if isinstance(caption, list) and caption:
            several += [path.name] * (len(caption) > 1)
            caption = caption[0]
        captions[path], places[path] = _checked(caption, f"{place}, {path.name}"), place
    tell_some(f"{flag} {table}: of several captions of an image the first is used", several)
    return captions


def captions_beside(images: Sequence[Path], flag: str) -> dict[Path, str]:
    """The captions of a folder's images from the text file beside each.

    UsageError names an image that has none. What may be a slip is told.
    """
    folder = images[0].parent
    names = LooseNames()
    captions: dict[Path, str] = {}
    used: dict[Path, list[str]] = defaultdict(list)
    for image in images:
        file = _file_beside(image, names)
        if file is None:
            raise UsageError(
                f"{flag} {folder}: {image.name} has no caption: {image.stem}.txt is missing, "
                f"and there is no {' or '.join(TABLES)}"
            )
        text = "\n".join(lines_of(read_any_text(file, flag).strip()))
        captions[image] = _checked(text, f"{flag} {file}")
        used[file].append(image.name)
    shared = [f"{file.name} ({' '.join(of)})" for file, of in used.items() if len(of) > 1]
    there = (path for same in names.list(folder).values() for path in same)
    texts = (path for path in there if path.suffix.lower() in BESIDE and not ignored(path.name))
    long = [image.name for image, text in captions.items() if "\n" in text]
    where = f"{flag} {folder}"
    tell_some(f"{where}: several images have one caption file", shared)
    tell_some(f"{where}: text files not used", [p.name for p in texts if p not in used])
    tell_some(f"{where}: all lines of a caption file are one caption", long)
    return captions


def has_file_beside(image: Path, names: LooseNames) -> bool:
    """Whether there is a caption file beside an image."""
    return _file_beside(image, names) is not None


def tell_some(what: str, names: Sequence[str]) -> None:
    """Log a few of the names, and how many more there are; nothing if there is none."""
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        log.warning("%s: %s%s", what, ", ".join(names[:3]), more)


def _file_beside(image: Path, names: LooseNames) -> Path | None:
    """A.txt or a.caption beside a.png, or else a.png.txt or a.png.caption."""
    wanted = (f"{start}{end}" for start in (image.stem, image.name) for end in BESIDE)
    return next((path for name in wanted if (path := names.find(image.parent, name))), None)


def _json_rows(table: Path, flag: str) -> Iterator[tuple[str, Any, Any]]:
    """Place, file name and caption of each row."""
    for number, line in enumerate(lines_of(read_text(table, flag)), 1):
        if not line.strip():
            continue
        place = f"{flag} {table}, line {number}"
        try:
            row = parse(line)
        except ValueError as error:
            raise UsageError(f"{place}: is not JSON ({error})") from error
        column = next((c for c in COLUMNS if c in row), None) if isinstance(row, dict) else None
        if column is None or "file_name" not in row:
            raise UsageError(
                f'{place}: is not a {{"file_name": …, "text": …}} (or {" or ".join(COLUMNS[1:])})'
            )
        yield place, row["file_name"], row[column]


def _csv_rows(table: Path, flag: str) -> Iterator[tuple[str, Any, Any]]:
    """Place, file name and caption of each row."""
    found = read_table(table, flag, ("file_name", *COLUMNS).__contains__)
    name, text = found.column("file_name"), found.column(*COLUMNS)
    for row in found.rows:
        yield row.where, row.cells[name], row.cells[text] if row.has(text) else None


def _checked(caption: Any, where: str) -> str:
    """A caption as it is; UsageError if it is not a text, or missing."""
    if caption is None or (isinstance(caption, str) and not caption.strip()):
        raise UsageError(f"{where}: has no caption; write one, or take the image out")
    if not isinstance(caption, str):
        raise UsageError(f"{where}: the caption is not a text but {str(caption)[:80]}")
    require_plain(f"{where}: the caption", caption)
    return caption
