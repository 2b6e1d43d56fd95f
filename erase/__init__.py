"""Turns (checkpoint, concept) into erased weights.

The names below load their modules when first used, so that importing `erase` imports no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Apply": "expunge.settings.erase",
    "Classification": "expunge.settings.erase",
    "DataConfig": "expunge.settings.erase",
    "Demo": "expunge.settings.erase",
    "Erase": "expunge.settings.erase",
    "EvaluateConcept": "expunge.settings.erase",
    "EvaluateI2P": "expunge.settings.erase",
    "EvaluateQuality": "expunge.settings.erase",
    "Export": "expunge.settings.erase",
    "Mask": "expunge.settings.erase",
    "ModelArgs": "expunge.settings.erase",
    "Report": "expunge.settings.erase",
    "SalUnConfig": "expunge.settings.erase",
    "SaliencyConfig": "expunge.settings.erase",
    "SaliencyMask": "erase.saliency.mask",
    "StableDiffusion": "erase.models.checkpoint",
    "Undo": "expunge.settings.erase",
    "UsageError": "plumbing.errors",
    "Verify": "expunge.settings.erase",
    "load_checkpoint": "erase.models.checkpoint",
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
