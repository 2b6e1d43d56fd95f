"""What a run tells of itself: versions, time and memory."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = ("expunge", "torch", "diffusers", "transformers", "safetensors")


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    found = {}
    for package in _PACKAGES:
        # A checkout runs without being installed.
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def peak_memory_mb() -> float | None:
    """The most memory this process has held: of the GPU where there is one, else resident."""
    # A run on the processor of a machine with a GPU has none of the GPU's.
    if torch.cuda.is_available() and (most := torch.cuda.max_memory_allocated()):
        return round(most / 2**20, 1)
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
