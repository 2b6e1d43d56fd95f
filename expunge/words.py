"""From settings to the words of a command, which `expunge.parsing` takes back for the same."""

import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import tyro

from eval.kind.command_line import command_words
from expunge.parsing import markers


def command_of(name: tuple[str, ...], settings: Any) -> str:
    """The line of the command `name` with these settings, every one given, as a shell takes it."""
    words, flags = [], {}
    for field, value, marked in _opened(settings):
        if tyro.conf.Positional in marked:
            words += value if isinstance(value, tuple) else [value]
        else:
            flags[field] = list(value) if tyro.conf.UseAppendAction in marked else value
    return shlex.join(command_words(("expunge", *name, *words), flags))


def _opened(settings: Any) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Every field with its value and what tyro is told of it, groups opened up and first."""
    hints = get_type_hints(type(settings), include_extras=True)
    found = [(field, getattr(settings, field.name)) for field in fields(settings)]
    for field, value in sorted(found, key=lambda pair: not is_dataclass(pair[1])):
        if is_dataclass(value):
            yield from _opened(value)
        else:
            yield field.name, value, markers(hints[field.name])
