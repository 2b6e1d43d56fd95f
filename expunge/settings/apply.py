"""Flags of `expunge apply` and `undo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from expunge.settings.checks import require
from expunge.settings.export import check_strength
from expunge.settings.groups import ConfigFolder, Predicted, shown

Deltas = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="FILE [FILE ...]", help_behavior_hint="(required)"),
]
Undone = Annotated[
    tuple[Path, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="DELTA", help_behavior_hint="(required)"),
]


def _check_deltas(deltas: tuple[Path, ...], flag: str) -> None:
    require(bool(deltas), f"{flag} is missing; give a file that `expunge export` wrote")
    places = [delta.resolve() for delta in deltas]
    require(len(set(places)) == len(places), f"the same {flag} is given twice; give each once")


@dataclass(frozen=True)
class Apply:
    """Erase by deltas or by LoRAs: write the model that they make of the base they are of."""

    deltas: Deltas
    """Files of `expunge export --format delta`, or of `--format lora`. Of several deltas, the later
    one's value stands where two change the same weight; several LoRAs add up, in any order, and the
    UNet is then stored in float32."""
    to: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write: the whole model, or the UNet alone if that or a single file was given."""
    model: str = "miniature"
    """The files' base: a hub id, a diffusers folder, a folder with a UNet alone, one .safetensors
    or .ckpt file, or the shipped `miniature`."""
    revision: Annotated[str | None, shown("TEXT", "main")] = None
    """Branch, tag or commit of a hub model."""
    variant: Annotated[str | None, shown("TEXT", "none")] = None
    """Weight variant of a hub model or folder, such as `fp16`."""
    config: ConfigFolder = None
    """For a single file: a diffusers folder of its architecture, for the configs and tokenizer."""
    prediction_type: Predicted = None
    """For a single file: what its UNet predicts."""
    strength: float = 1.0
    """How far to go from the base (0) to what the files make of it (1); up to 1.5, beyond it."""
    overwrite: bool = False
    """Replace another model in the same place."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse no or repeated deltas and a strength out of range."""
        _check_deltas(self.deltas, "FILE")
        check_strength(self.strength)


@dataclass(frozen=True)
class Undo:
    """Take deltas back: write the base model again, bit for bit."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """What the deltas made at strength 1: a run folder, a diffusers folder, or a UNet's folder."""
    to: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write: the whole model, or the UNet alone if that is what was given."""
    delta: Undone = ()
    """The delta that was applied; give it again for another, in the order they were applied."""
    overwrite: bool = False
    """Replace another model in the same place."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse no or repeated deltas."""
        _check_deltas(self.delta, "--delta")
