"""RECE's settings: flags, settled numbers, our defaults, and what its authors published."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from expunge.settings import uce
from expunge.settings.checks import at_least
from expunge.settings.groups import shown

PresetName = Literal["rece", "rece-nudity"]

DEFAULTS: dict[str, Any] = {
    **uce.DEFAULTS,
    "epochs": 1,
    "closeness": 1e-3,
    "epoch_preserve_scale": 0.1,
    "epoch_ridge": 0.1,
}
_PUBLISHED: dict[str, Any] = {
    # The UCE that it starts from, of the time when it edited the rest of the tokens, too.
    "anchor": "",
    "tokens": "rest",
    "erase_scale": 1.0,
    "preserve_scale": 1.0,
    "ridge": 0.5,
    "epoch_preserve_scale": 0.1,
    "epoch_ridge": 0.1,
}
PRESETS: dict[str, dict[str, Any]] = {
    # Of artists, and of things that UCE alone leaves, such as the church.
    "rece": {**_PUBLISHED, "epochs": 1, "closeness": 1e-3},
    "rece-nudity": {**_PUBLISHED, "epochs": 3, "closeness": 1e-1},
}


@dataclass(frozen=True)
class RECEFlags(uce.WeighedFlags):
    """What UCE moves at first, and how RECE goes on."""

    preset: Annotated[PresetName | None, shown(PresetName, "none")] = None
    """Take the published settings as the defaults; flags given beside it still win."""
    epochs: Annotated[int | None, shown("INT", DEFAULTS["epochs"])] = None
    """How often what still draws the concept is found, and erased, too; 0 is UCE."""
    closeness: Annotated[float | None, shown("FLOAT", DEFAULTS["closeness"])] = None
    """Weight of its being small: the larger, the less is erased beside the concept."""
    epoch_preserve_scale: Annotated[
        float | None, shown("FLOAT", DEFAULTS["epoch_preserve_scale"])
    ] = None
    """As --preserve-scale, in an epoch."""
    epoch_ridge: Annotated[float | None, shown("FLOAT", DEFAULTS["epoch_ridge"])] = None
    """As --ridge, in an epoch."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        at_least("--epochs", self.epochs, 0)
        at_least("--closeness", self.closeness, 0)
        at_least("--epoch-preserve-scale", self.epoch_preserve_scale, 0)
        at_least("--epoch-ridge", self.epoch_ridge, 0)


@dataclass(frozen=True)
class RECE(uce.UCE):
    """The same, every number settled."""

    epochs: int
    closeness: float
    epoch_preserve_scale: float
    epoch_ridge: float
