"""From the words of a command to its settings; every complaint is one line of ours.

Unknown flags and missing words are found here, by the dataclasses' own fields. tyro's text is only
read for values that are none, and whatever shape it has comes out as one line.
"""

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import tyro

from expunge.command_table import COMMANDS
from expunge.settings.groups import fields_of
from plumbing.errors import UsageError, did_you_mean
from plumbing.home import at_home

_HELP = ("-h", "--help")
_SHORTHAND = 300
"""Characters of tyro's text that are shown at most."""


def named(room: str, place: str) -> Any:
    """What `module:name` stands for in a room of this package."""
    module, name = place.split(":")
    return getattr(import_module(f"expunge.{room}.{module}"), name)


def settings_of(name: tuple[str, ...], words: Sequence[str] = ()) -> type:
    """The dataclass of a command's flags, which may depend on its words."""
    found = named("settings", COMMANDS[name].settings)
    return found if isinstance(found, type) else found(words)


def flags_of(settings: type) -> Iterator[tuple[type, str]]:
    """Every flag's dataclass and field; positional words are left out."""
    for owner, name in fields_of(settings):
        hint = get_type_hints(owner, include_extras=True)[name]
        if tyro.conf.Positional not in markers(hint):
            yield owner, name


def parse(name: tuple[str, ...], words: Sequence[str]) -> Any:
    """Parse a command's words into its dataclass.

    Raises UsageError for bad words, and SystemExit(0) once `--help` is printed.
    """
    _require_text(name, words)
    words = [_whole(word) for word in words]
    settings, prog = settings_of(name, words), " ".join(("expunge", *name))
    hint = f"(see {prog}{getattr(settings, 'chosen', '')} --help)"
    # tyro's own flags write a shell's completion.
    if not any(word in _HELP or word.startswith("--tyro-") for word in words):
        _check_words(settings, words, hint)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(settings, prog=prog, args=words, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as exit_:
        if not exit_.code:
            raise
        # Our own checks already speak one clear line; tyro wraps them in a box.
        cause = exit_.__context__
        while cause is not None:
            if isinstance(cause, UsageError):
                raise cause from None
            cause = cause.__context__
        raise UsageError(f"{_one_line(complaint.getvalue())} {hint}") from None


def _whole(word: str) -> str:
    """A word, or the value after its flag, with `~` at the beginning as a shell takes it."""
    flag, sign, value = word.partition("=")
    if sign and flag.startswith("--"):
        return f"{flag}={at_home(value)}"
    return at_home(word)


def _require_text(name: tuple[str, ...], words: Sequence[str]) -> None:
    """Refuse bytes that no record could hold; a concept's own check says more of its name."""
    for before, word in pairwise(["", *words]):
        is_concept = name[0] in ("erase", "mask") and not f"{before} {word}".count("--")
        if not is_concept and any("\ud800" <= c <= "\udfff" for c in word):
            shown = word.encode("utf-8", "replace").decode()
            raise UsageError(
                f"{shown}: holds bytes that are no text; rename it, or set LC_ALL=C.UTF-8"
            )


def _check_words(settings: type, words: Sequence[str], hint: str) -> None:
    """Refuse flags that the command does not have, and a positional word that is missing."""
    known = {f"--{field.replace('_', '-')}": field for _, field in flags_of(settings)}
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if word.startswith("--") and flag not in known:
            raise UsageError(f"{word}: no such flag{did_you_mean(flag, known)} {hint}")
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):  # type: ignore[arg-type]
        marked = markers(hints[field.name])
        # A word may also be a flag's value: then tyro finds out.
        if tyro.conf.Positional in marked and all(word.startswith("-") for word in words):
            shown = next((m.metavar for m in marked if getattr(m, "metavar", None)), field.name)
            raise UsageError(f"{shown.split()[0]} is missing {hint}")


def markers(hint: Any) -> tuple[Any, ...]:
    """What tyro is told of a field, by its type hint."""
    return get_args(hint)[1:] if hasattr(hint, "__metadata__") else ()


def _one_line(text: str) -> str:
    """What tyro says, without its colours, lines and title, up to its first rule or empty line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [line.strip("\u2502| ") for line in plain.splitlines()]
    # The first line is a title, in the box's upper edge or, in ASCII, above a rule.
    sections = re.split(r"\n\s*\n|^[\u2500-]{5,}$", "\n".join(lines[1:]), flags=re.MULTILINE)
    line = " ".join(next((s for s in sections if s.strip()), plain).split())
    value = re.match(r"Error parsing (\S+): .* from \[(.*)\]", line)
    missing = re.match(r"Missing from .*?: (\S+)", line)
    if value:
        return f"{value[1]} cannot be {value[2]}"
    if missing:
        return f"{missing[1]} is missing"
    return re.sub(r"^Error parsing (\S+): ", r"\1: ", line)[:_SHORTHAND].rstrip(". ")
