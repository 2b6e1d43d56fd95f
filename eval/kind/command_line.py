"""A command line from its words and flags, as a shell takes it."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any


def command_line(words: Iterable[object], flags: Mapping[str, Any]) -> str:
    """The line: None is no flag, True the flag only, and a list the flag once an item."""
    line = list(map(str, words))
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            line += [] if item is None else [flag] if item is True else [flag, str(item)]
    return shlex.join(line)
