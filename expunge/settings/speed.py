"""SPEED's settings: flags, settled numbers, our defaults, and what its authors published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings.anchor import Anchor, AnchorFlags
from expunge.settings.checks import at_least, positive
from expunge.settings.groups import shown

PresetName = Literal["speed"]

DEFAULTS: dict[str, Any] = {
    "anchor": None,
    "tokens": "rest",
    "threshold": 0.1,
    "ridge": 1.0,
    "slack": 0.0,
    "copies": 10,
    "no_filter": False,
}
PRESETS: dict[str, dict[str, Any]] = {
    # Of scripts/eval_few.sh: up to three things.
    "speed": {
        "anchor": "",
        "tokens": "last",
        "threshold": 0.1,
        "ridge": 1.0,
        "slack": 0.0,
        "copies": 10,
    },
}


@dataclass(frozen=True)
class SPEEDFlags(AnchorFlags):
    """What SPEED moves, and in which directions it may."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    threshold: Annotated[float | None, shown("FLOAT", DEFAULTS["threshold"])] = None
    """A direction in which the retained embeddings have less than this, squared and on average, is
    free to be edited; the larger, the more is erased and the less is retained."""
    ridge: Annotated[float | None, shown("FLOAT", DEFAULTS["ridge"])] = None
    """Weight of leaving the weights as they are."""
    slack: Annotated[float | None, shown("FLOAT", DEFAULTS["slack"])] = None
    """How far the values of the empty prompt's tokens, which every prompt has, may give way; 0: not
    at all."""
    copies: Annotated[int | None, shown("INT", DEFAULTS["copies"])] = None
    """Noisy copies of each retained embedding that are retained, too."""
    no_filter: bool = False
    """Retain every retain prompt, not those alone that erasing would move more than the mean."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        positive("--threshold", self.threshold)
        positive("--ridge", self.ridge)
        at_least("--slack", self.slack, 0)
        at_least("--copies", self.copies, 0)


@dataclass(frozen=True)
class SPEED(Anchor):
    """The same, every number settled."""

    threshold: float
    ridge: float
    slack: float
    copies: int
    no_filter: bool
