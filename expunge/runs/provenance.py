"""What a run tells of itself: versions, time and memory."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = ("expunge", "torch", "diffusers", "transformers", "safetensors")


class Timings:
    """Seconds by name, measured from lap to lap."""

    def __init__(self) -> None:
        """Start the clock."""
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap under `name`."""
        now = time.perf_counter()
        self.seconds[name] = round(self.seconds.get(name, 0) + now - self._last, 3)
        self._last = now


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
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
