"""The file that a report or a comparison is written to."""

from __future__ import annotations

from pathlib import Path

from plumbing.errors import UsageError
from plumbing.whole_files import replace_file


def check_file(place: Path, flag: str) -> None:
    """Refuse, as a UsageError, a folder where a file is to be written."""
    if place.is_dir():
        raise UsageError(f"{flag} {place}: is a folder; name a file in it")


def write_text(place: Path, text: str, flag: str) -> None:
    """Write the file whole or not at all; a UsageError where it cannot be."""
    try:
        # A prompt may hold half of a surrogate pair, which no file can.
        replace_file(place, text.encode("utf-8", errors="replace"))
    except OSError as error:
        raise UsageError(
            f"{flag} {place}: cannot be written ({error.strerror}); choose another file"
        ) from error
