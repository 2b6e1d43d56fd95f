"""The settings of `expunge export`, `apply`, `undo` and `verify`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from erase.checks import apart, at_least, require
from erase.options import ConfigFolder, Predicted, shown

Stored = Literal["fp32", "fp16", "bf16"]
STRONGEST = 1.5
DEFAULT_RANK = 16
"""Largest rank of a LoRA's layers, if neither --rank nor --energy is given."""
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
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


def _check_strength(strength: float) -> None:
    require(0 <= strength <= STRONGEST, f"--strength must be from 0 to {STRONGEST}, not {strength}")


def _check_deltas(deltas: tuple[Path, ...], flag: str) -> None:
    require(bool(deltas), f"{flag} is missing; give a file that `expunge export` wrote")
    places = [delta.resolve() for delta in deltas]
    require(len(set(places)) == len(places), f"the same {flag} is given twice; give each once")


@dataclass(frozen=True)
class Export:
    """Write what a run erased in a format that other tools take, and read it back to be sure."""

    target: Run
    """Run folder of `expunge erase`."""
    format: Literal["unet", "pipeline", "single-file", "lora", "delta"] = "pipeline"
    """The UNet alone in a folder, the whole model in a diffusers folder, the whole model in one
    file for A1111 or ComfyUI, one small file that any tool loads as a LoRA and that is not exact,
    or one small file with nothing but what changed, for `expunge apply` and `expunge undo`."""
    to: Annotated[Path | None, shown("PATH", "RUN/export/FORMAT")] = None
    """Folder to write, or file for a single file, a LoRA or a delta."""
    strength: float = 1.0
    """How far to go from the original (0) to the erased model (1); up to 1.5, beyond it."""
    dtype: Annotated[Stored | None, shown(Stored, "as the run's, fp32; of a LoRA fp16")] = None
    """How the UNet's or the LoRA's weights are stored; a single file's are as in the base, unless
    it is given."""
    rank: Annotated[int | None, shown("INT", DEFAULT_RANK)] = None
    """Largest rank of a LoRA's layers; more is nearer to the erased model, and larger."""
    energy: Annotated[float | None, shown("FLOAT", "by rank")] = None
    """Share of each layer's squared change that a LoRA keeps, with the smallest rank that does."""
    naming: Literal["diffusers", "kohya"] = "diffusers"
    """Whose names a LoRA's tensors have: diffusers' load_lora_weights, or kohya's for A1111, Forge
    and ComfyUI."""
    check: Literal["auto", "yes", "no"] = "auto"
    """Draw with a LoRA and judge the images beside the original's and the erased model's; auto does
    so on the miniature."""
    check_protocol: Literal["demo", "full"] = "demo"
    """Number of images of that check, as of `expunge evaluate concept`."""
    ema: Literal["drop", "overwrite"] = "drop"
    """What becomes of the averaged copy of the UNet that some single files carry: it still draws
    what was erased."""
    push_to_hub: Annotated[str | None, shown("OWNER/NAME", "write it here alone")] = None
    """Upload the pipeline to the model hub too, as a model of yours; first `hf auth login`."""
    private: bool = False
    """Make a new model on the hub one that only its owner sees."""
    overwrite: bool = False
    """Replace another export in the same place."""
    json: bool = False
    """Print one JSON object for machines instead of a table."""

    def __post_init__(self) -> None:
        """Refuse values out of range, and flags that a format does not know."""
        _check_strength(self.strength)
        require(
            self.format == "single-file" or self.ema == "drop",
            "--ema is for --format single-file alone",
        )
        require(
            self.format == "pipeline" or self.push_to_hub is None,
            "--push-to-hub takes a whole model: add --format pipeline",
        )
        require(
            self.push_to_hub is not None or not self.private,
            "--private is of no use without --push-to-hub",
        )
        at_least("--rank", self.rank, 1)
        require(
            self.energy is None or 0 < self.energy <= 1,
            f"--energy must be above 0 and at most 1, not {self.energy}",
        )
        apart("--rank", self.rank, "--energy", self.energy)
        given = {
            "--rank": self.rank is not None,
            "--energy": self.energy is not None,
            "--naming": self.naming != "diffusers",
            "--check": self.check != "auto",
            "--check-protocol": self.check_protocol != "demo",
        }
        for flag in (flag for flag, is_given in given.items() if is_given):
            require(self.format == "lora", f"{flag} is for --format lora alone")

    @property
    def place(self) -> Path:
        """The folder or file to write."""
        in_file = self.format in ("delta", "lora", "single-file")
        name = f"{self.format}.safetensors" if in_file else self.format
        return self.to or self.target / "export" / name


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
        _check_strength(self.strength)


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
