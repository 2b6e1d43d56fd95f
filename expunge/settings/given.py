"""Settings of flags that are given by name, from Python or by a record of an earlier run."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from expunge.settings.groups import fields_of
from plumbing.errors import UsageError, did_you_mean
from plumbing.home import at_home


def check_names(settings: type, flags: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse, as a UsageError, a flag that the command does not have, or has by position."""
    known = {name for _, name in fields_of(settings)} - given.keys()
    for flag in flags.keys() - known:
        guess = did_you_mean(flag, known)
        raise UsageError(f"{flag}: no such setting of {settings.__name__}{guess}")


def made_of(settings: type, flags: Mapping[str, Any]) -> Any:
    """The settings of flags by name: those of a group together, texts become paths.

    UsageError for a value that its flag cannot have.
    """
    found: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]
        group: Any = field.default_factory
        if isinstance(group, type) and is_dataclass(group):
            names = {name for _, name in fields_of(group)}
            own = {name: value for name, value in flags.items() if name in names}
            found[field.name] = group(**_typed(group, own))
        elif field.name in flags:
            found |= _typed(settings, {field.name: flags[field.name]})
    return settings(**found)


def _typed(settings: type, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The same as their fields have them; a UsageError for a value that is none of its field's."""
    hints, found = get_type_hints(settings), {}
    for name, value in flags.items():
        try:
            found[name] = _as(hints[name], value)
        except ValueError:
            choices = [c for h in (hints[name], *get_args(hints[name])) for c in get_args(h)]
            named = [str(c) for c in choices if isinstance(c, str)]
            wanted = f"one of {', '.join(named)}" if named else "of another type"
            raise UsageError(f"{name}: {value!r} cannot be meant; it must be {wanted}") from None
    return found


def _as(hint: Any, value: Any) -> Any:
    """A value as a type hint has it: a text as a path, one item as a tuple of it; or ValueError."""
    inner = get_args(hint)
    if get_origin(hint) is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_as(inner[0], item) for item in items)
    if get_origin(hint) is Literal:
        fits = value in inner
    elif inner:
        for choice in inner:
            with suppress(ValueError):
                return _as(choice, value)
        fits = False
    elif hint is Path and isinstance(value, str | Path):
        return Path(at_home(str(value)))
    elif hint is str and isinstance(value, str):
        return at_home(value)
    elif isinstance(value, bool):
        fits = hint is bool
    elif hint is float and isinstance(value, int):
        return float(value)
    else:
        fits = isinstance(value, hint)
    if not fits:
        raise ValueError(value)
    return value
