"""The methods of erasing, by the name that `--method` takes; a line each, and no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.settings import ca, esd, leco, rece, salun, speed, uce


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
    rate: float = 1.0
    """Times the learning rate that a model recommends, which is SalUn's."""


METHODS: dict[str, MethodEntry] = {
    "salun": MethodEntry(
        "erase.methods.salun", salun.SalUnFlags, salun.SalUn, salun.DEFAULTS, salun.PRESETS
    ),
    "esd": MethodEntry(
        "erase.methods.esd", esd.EsdFlags, esd.Esd, esd.DEFAULTS, esd.PRESETS, esd.RATE
    ),
    "ca": MethodEntry("erase.methods.ca", ca.CaFlags, ca.Ca, ca.DEFAULTS, ca.PRESETS),
    "leco": MethodEntry(
        "erase.methods.leco", leco.LecoFlags, leco.Leco, leco.DEFAULTS, leco.PRESETS, leco.RATE
    ),
    "uce": MethodEntry("erase.methods.uce", uce.UCEFlags, uce.UCE, uce.DEFAULTS, uce.PRESETS),
    "rece": MethodEntry(
        "erase.methods.rece", rece.RECEFlags, rece.RECE, rece.DEFAULTS, rece.PRESETS
    ),
    "speed": MethodEntry(
        "erase.methods.speed", speed.SPEEDFlags, speed.SPEED, speed.DEFAULTS, speed.PRESETS
    ),
}
