"""From flags, of which some were not given, to settings that have every number."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Settled = TypeVar("Settled")


def settle(kind: type[Settled], flags: Any, *layers: Mapping[str, Any]) -> Settled:
    """Fill each field of `kind` from the flags where one is given, else from the first layer."""
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        value = getattr(flags, field.name)
        if value is None:
            value = next((layer[field.name] for layer in layers if field.name in layer), None)
        values[field.name] = value
    return kind(**values)
