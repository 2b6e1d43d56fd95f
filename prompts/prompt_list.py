"""A user's list of prompts: a text file with one a line, or a table; and what is left of it."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.text_file import read_lines, require_plain
from prompts.prompt_table import is_table, table_prompts

log = logging.getLogger(__name__)
_SEPARATORS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What some programs write to begin a new line, or page, within a text."""


def read_prompts(path: Path, flag: str = "--retain-prompts") -> tuple[str, ...]:
    """Read prompts from a text file, one a line, where `#` starts a comment line, or from a table.

    Each is there once, in order. Raises UsageError naming the flag and file if it is missing, not
    UTF-8, or holds no prompt.
    """
    found = table_prompts(path, flag) if is_table(path) else _listed(path, flag)
    prompts = tuple(dict.fromkeys(_SEPARATORS.sub(" ", prompt).strip() for prompt in found))
    for prompt in prompts:
        require_plain(f"{flag}: a prompt in {path}", prompt)
    return prompts


def left_over(
    kept: tuple[str, ...], given: Sequence[str], where: str, name: str, noun: str = "prompts"
) -> tuple[str, ...]:
    """Return what is kept of a user's texts, found at `where`, and say how many are left out.

    UsageError if nothing is kept.
    """
    left = len(given) - len(kept)
    if given and not kept:
        raise UsageError(f"{where}: all its {noun} name {name}; give {noun} of other things")
    if left:
        log.warning("%s: %d of %d %s name %s: left out", where, left, len(given), noun, name)
    return kept


def _listed(path: Path, flag: str) -> list[str]:
    lines = (line.strip() for line in read_lines(path, flag))
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError(f"{flag}: {path} holds no prompt; write one a line")
    return found
