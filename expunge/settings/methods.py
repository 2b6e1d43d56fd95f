"""The methods of erasing, by the name that `--method` takes; a line each, and no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.settings import rece, salun, speed, uce


@dataclass(frozen=True)
class MethodEntry:
    """Where a method lies, and its numbers."""

    module: str
    """Has `METHOD`: a `Trained` or a `ClosedForm` of erase.methods.method."""
    flags: type
    settings: type
    """The same, settled: `settle` fills it."""
    defaults: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]]
    """What was published, by the name that `--preset` takes."""


METHODS: dict[str, MethodEntry] = {
    "salun": MethodEntry(
        "erase.methods.salun", salun.SalUnFlags, salun.SalUn, salun.DEFAULTS, salun.PRESETS
    ),
    "uce": MethodEntry("erase.methods.uce", uce.UCEFlags, uce.UCE, uce.DEFAULTS, uce.PRESETS),
    "rece": MethodEntry(
        "erase.methods.rece", rece.RECEFlags, rece.RECE, rece.DEFAULTS, rece.PRESETS
    ),
    "speed": MethodEntry(
        "erase.methods.speed", speed.SPEEDFlags, speed.SPEED, speed.DEFAULTS, speed.PRESETS
    ),
}
