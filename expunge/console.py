"""What reaches the terminal: visible, discreet, short."""

import contextlib
import io
import logging
import os
import shutil
import sys
from typing import Any

from plumbing.visible_text import discreet, visible

_LONGEST = 2000
"""Characters of an error or a log line: a name may be 100 kB long."""


_NARROWEST = 40
"""Columns of a terminal."""


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


def open_streams() -> None:
    """Let what a program was started without, as by `>&-`, lead nowhere.

    Else the next file that is opened would be taken for it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is taken, and those below are not.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, mode, encoding="utf-8", closefd=False)
            setattr(sys, name, stream)


def tell(line: str) -> None:
    """Print a line to stderr, if anybody still reads it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def widen() -> None:
    """Let a terminal of next to no width, in which tyro finds no end, pass for a narrow one."""
    if shutil.get_terminal_size().columns < _NARROWEST:
        os.environ["COLUMNS"] = str(_NARROWEST)


def cut(line: str) -> str:
    """The line, or its beginning and its end: what is wrong, and how to mend it."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 400]} … {line[-400:]}"


def set_up_logging() -> None:
    """Send our own log lines to stderr; of other packages only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    first = os.environ.get("RANK", "0") == "0"
    for package in ("erase", "eval", "expunge", "plumbing", "prompts"):
        logging.getLogger(package).setLevel(logging.INFO if first else logging.WARNING)
