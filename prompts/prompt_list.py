"""A user's list of prompts: a text file with one a line."""

import re
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.text_file import read_lines, require_plain

_SEPARATORS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What some programs write to begin a new line, or page, within a text."""


def read_prompts(path: Path, flag: str = "--retain-prompts") -> tuple[str, ...]:
    """Read prompts from a UTF-8 text file, one a line; `#` starts a comment line.

    Raises UsageError naming the flag and file if it is missing, not UTF-8, or holds no prompt.
    """
    lines = (_SEPARATORS.sub(" ", line).strip() for line in read_lines(path, flag))
    prompts = tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not prompts:
        raise UsageError(f"{flag}: {path} holds no prompt; write one a line")
    for prompt in prompts:
        require_plain(f"{flag}: a prompt in {path}", prompt)
    return prompts
