"""A command line from its words and flags, as a shell takes it."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any


def command_line(words: Iterable[object], flags: Mapping[str, Any]) -> str:
    """The line that a shell splits into `command_words`."""
    return shlex.join(command_words(words, flags))


def command_words(words: Iterable[object], flags: Mapping[str, Any]) -> list[str]:
    """The words: None and False are no flag, True the flag only, a list the flag once an item.

    A tuple is the flag once with all its items.
    """
    line = [_word(word) for word in words]
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, tuple):
            line += [flag, *map(_word, value)] if value else []
            continue
        for item in value if isinstance(value, list) else [value]:
            if item is not None and item is not False:
                line += [flag] if item is True else _given(flag, _word(item))
    return line


def _given(flag: str, value: str) -> list[str]:
    # What begins like a flag would be taken for one.
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def _word(value: object) -> str:
    # A path that begins with ~ would be taken for one in a home folder.
    plain = isinstance(value, PurePath) and str(value).startswith("~")
    return f"./{value}" if plain else str(value)
