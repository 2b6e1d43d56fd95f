"""The library behind expunge: a model and images in, erased weights out; it knows no flags.

The names below load their modules when first used, so that importing `erase` imports no torch. The
product's functions (`erase_concept`, `evaluate_concept` …) live in `expunge`; they are found here,
too, since `erase` is the package that people look in.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Bundle": "erase.models.bundle",
    "SaliencyMask": "erase.saliency.mask",
    "UsageError": "plumbing.errors",
    "load_checkpoint": "erase.models.checkpoint",
    "unlearn": "erase.classification.unlearn",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if not name.startswith("_") and name in (product := import_module("expunge")).FUNCTIONS:
        return getattr(product, name)
    raise AttributeError(f"module 'erase' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_HOMES, *import_module("expunge").FUNCTIONS])
