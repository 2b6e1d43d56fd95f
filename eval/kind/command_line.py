"""A command line from its words and flags, as a shell takes it."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any


def command_line(words: Iterable[object], flags: Mapping[str, Any]) -> str:
    """The line: None and False are no flag, True the flag only, a list the flag once an item."""
    line = list(map(str, words))
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        given = value if isinstance(value, list) else [value]
        for item in (item for item in given if item is not None and item is not False):
            line += [flag] if item is True else [flag, str(item)]
    return shlex.join(line)
