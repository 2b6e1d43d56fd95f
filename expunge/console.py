"""What reaches the terminal: visible, discreet, short."""

import io
import logging
import os
import re
import sys
from typing import Any

from plumbing.visible_text import discreet, visible

_LONGEST = 2000
"""Characters of an error or a log line: a name may be 100 kB long."""


class Visible(io.TextIOBase):
    """A stream that lets no control character of a stranger's text reach the terminal."""

    def __init__(self, stream: Any) -> None:
        """Write to `stream`."""
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text, what is hidden in it made visible."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.stream.write(visible(text).encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether it ends at a terminal."""
        return self.stream.isatty()


class Discreet(logging.Formatter):
    """Log lines without control characters, without the user's home folder and without tokens."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return cut(discreet(super().format(record)))


def cut(line: str) -> str:
    """The line, or its beginning and its end: what is wrong, and how to mend it."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 400]} … {line[-400:]}"


def first_sentence(box: str) -> str:
    """Return what an error box of tyro says first, in one line, with the nearest flag.

    The box has a title, then sections apart by rules; it is drawn in Unicode or in ASCII.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [re.sub(r"^[│|]|[│|]$", "", line).strip() for line in plain.splitlines()[1:]]
    text = re.sub(r"^[─-]{5,}$", "\f", "\n".join(lines), flags=re.MULTILINE)
    sections = [section.strip() for section in text.split("\f") if section.strip()] or [plain]
    first = " ".join(sections[0].split("\n\n")[0].split())
    value = re.match(r"Error parsing (\S+): .* from \[(.*)\]", first)
    if value:
        first = f"{value[1]} cannot be {value[2]}"
    first = re.sub(r"^Missing from .*?: (\S+).*", r"\1 is missing", first)
    first = re.sub(r"^Error parsing (\S+): ", r"\1: ", first)
    near = re.findall(r"^--[\w-]+", "\n".join(sections[1:]), re.MULTILINE)
    if first.startswith("Unrecognized") and near:
        first += f"; did you mean {near[0]}?"
    return first.rstrip(".")


def set_up_logging() -> None:
    """Send our own log lines to stderr; of other packages only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    first = os.environ.get("RANK", "0") == "0"
    for package in ("erase", "eval", "expunge", "plumbing", "prompts"):
        logging.getLogger(package).setLevel(logging.INFO if first else logging.WARNING)
