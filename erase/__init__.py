"""Turns (checkpoint, concept) into erased weights.

The names below load their modules when first used, so that importing `erase` imports no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Apply": "erase.config",
    "Classification": "erase.config",
    "DataConfig": "erase.config",
    "Demo": "erase.config",
    "Erase": "erase.config",
    "EvaluateConcept": "erase.config",
    "EvaluateI2P": "erase.config",
    "EvaluateQuality": "erase.config",
    "Export": "erase.config",
    "Mask": "erase.config",
    "ModelArgs": "erase.config",
    "Report": "erase.config",
    "SalUnConfig": "erase.config",
    "SaliencyConfig": "erase.config",
    "SaliencyMask": "erase.saliency",
    "StableDiffusion": "erase.checkpoint",
    "Undo": "erase.config",
    "UsageError": "plumbing.errors",
    "Verify": "erase.config",
    "load_checkpoint": "erase.checkpoint",
    "unlearn": "erase.classification.unlearn",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module 'erase' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_HOMES])
