"""UCE's settings: flags, settled numbers, our defaults, and what its authors published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings.anchor import Anchor, AnchorFlags
from expunge.settings.checks import at_least, positive
from expunge.settings.groups import shown

PresetName = Literal["uce"]

DEFAULTS: dict[str, Any] = {
    "anchor": None,
    "tokens": "rest",
    "erase_scale": 1.0,
    "preserve_scale": 1.0,
    "ridge": 0.5,
}
PRESETS: dict[str, dict[str, Any]] = {
    # Of trainscripts/uce_sd_erase.py, for things.
    "uce": {
        "anchor": "",
        "tokens": "last",
        "erase_scale": 1.0,
        "preserve_scale": 1.0,
        "ridge": 0.5,
    },
}


@dataclass(frozen=True)
class WeighedFlags(AnchorFlags):
    """What UCE moves, and what it weighs that against."""

    erase_scale: Annotated[float | None, shown("FLOAT", DEFAULTS["erase_scale"])] = None
    """Weight of the concept's tokens: they are to give the keys and values of their anchors."""
    preserve_scale: Annotated[float | None, shown("FLOAT", DEFAULTS["preserve_scale"])] = None
    """Weight of the tokens of the retain prompts and of the empty prompt, whose keys and values are
    to stay."""
    ridge: Annotated[float | None, shown("FLOAT", DEFAULTS["ridge"])] = None
    """Weight of leaving the weights as they are; too little of it is refused, as singular."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        positive("--erase-scale", self.erase_scale)
        at_least("--preserve-scale", self.preserve_scale, 0)
        at_least("--ridge", self.ridge, 0)


@dataclass(frozen=True)
class UCEFlags(WeighedFlags):
    """What UCE moves, and what it weighs that against."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""


@dataclass(frozen=True)
class UCE(Anchor):
    """The same, every number settled."""

    erase_scale: float
    preserve_scale: float
    ridge: float
