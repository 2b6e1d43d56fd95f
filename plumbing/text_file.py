"""Text files that a user gives: UTF-8, or UTF-16 as Windows marks it."""

import codecs
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.visible_text import strange

log = logging.getLogger(__name__)
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path, flag: str) -> list[str]:
    """Return the lines of a text file; UsageError names the flag and the file."""
    return lines_of(read_text(path, flag))


def lines_of(text: str) -> list[str]:
    """The lines of a text, which end as in files alone: `splitlines` would cut prompts in two."""
    return re.split(r"\r\n|\n|\r", text)


def read_text(path: Path, flag: str) -> str:
    """Return the content of a text file in UTF-8, or in UTF-16 with its mark.

    UsageError names the flag, the file and the line. The ends of lines are kept as they are.
    """
    with reading(path, flag):
        return decode(path.read_bytes())


def decode(content: bytes) -> str:
    """The text of a file's bytes without its mark; UnicodeDecodeError for other encodings."""
    return content.decode("utf-16" if content.startswith(_MARKS) else "utf-8-sig")


def read_any_text(path: Path, flag: str) -> str:
    """A text file whatever program wrote it: UTF-8, UTF-16 with its mark, or Windows-1252.

    The last is a guess, and is told of. What is not a text at all is a UsageError. The ends of
    lines are kept as they are.
    """
    with reading(path, flag):
        content = path.read_bytes()
        if content.startswith(_MARKS):
            return content.decode("utf-16")
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text = _decode_windows(content, error)
            log.warning("%s %s is not UTF-8: read as Windows-1252", flag, path)
        if "\0" in text:
            raise UsageError(f"{flag}: {path} is not a text file: it holds zero bytes")
        return text


def _decode_windows(content: bytes, error: UnicodeDecodeError) -> str:
    """Windows-1252; a byte that stands for nothing in it means that this is not such a text."""
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        raise error from None


@contextmanager
def reading(path: Path, flag: str) -> Iterator[None]:
    """Turn what goes wrong while a UTF-8 file is read to one line that names flag and file."""
    try:
        yield
    except UsageError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"{flag}: no such file: {path}") from error
    except UnicodeDecodeError as error:
        line = bytes(error.object[: error.start]).count(b"\n") + 1
        raise UsageError(
            f"{flag}: {path} is not {error.encoding.upper()} (line {line}, byte {error.start}); "
            "save it as UTF-8 and try again"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{flag}: cannot read {path}: {reason}") from error


def require_plain(what: str, text: str, longest: int | None = None) -> None:
    """Refuse, as a UsageError, a text that no keyboard writes, or one longer than a name can be."""
    if found := strange(text):
        raise UsageError(f"{what} holds {found}, which is no character of a text; take it out")
    if longest is not None and len(text) > longest:
        raise UsageError(
            f"{what} is {len(text):,} characters long; a name has {longest} at most, and long "
            "prompts go under `forget` in a .toml file"
        )
