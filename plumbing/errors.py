"""The one exception that means "the user can mend this"."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Bad input, told in one line: what is wrong, where, and how to mend it."""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of a message on an unknown name: the nearest one that there is, or `otherwise`."""
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else otherwise
