"""Flags of `expunge verify`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from expunge.settings.checks import require
from expunge.settings.groups import ConfigFolder, Predicted, shown


@dataclass(frozen=True)
class Verify:
    """Check a run, or what was made of it: hashes, and that only the mask's weights changed."""

    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """Run folder of `expunge erase`, or what `export` or `apply` wrote: a single file, the folder
    of a pipeline or of a UNet, or a delta."""
    base: Annotated[str | None, shown("MODEL", "the run's base, where it was")] = None
    """The original model, if it is no longer where the run found it, or if there is no run."""
    run: Annotated[Path | None, shown("RUN", "the run in whose export/ TARGET lies")] = None
    """Run folder that TARGET is from, unless it is one itself."""
    config: ConfigFolder = None
    """For a single-file base: a diffusers folder of its architecture, for the configs."""
    prediction_type: Predicted = None
    """For a single-file base: what its UNet predicts."""
    json: bool = False
    """Print one JSON object for machines instead of a line a check."""

    def __post_init__(self) -> None:
        """Refuse flags on a base that is not given."""
        for flag, value in (
            ("--config", self.config),
            ("--prediction-type", self.prediction_type),
        ):
            require(
                value is None or self.base is not None,
                f"{flag} {value}: tells of a base that is one file; add --base FILE",
            )
