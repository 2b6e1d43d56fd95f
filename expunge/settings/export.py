"""The settings of `expunge export`, `apply`, `undo` and `verify`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import apart, at_least, require
from expunge.settings.groups import ConfigFolder, shown

Stored = Literal["fp32", "fp16", "bf16"]
STRONGEST = 1.5
DEFAULT_RANK = 16
"""Largest rank of a LoRA's layers, if neither --rank nor --energy is given."""
Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def check_strength(strength: float) -> None:
    """Refuse a strength out of range."""
    require(0 <= strength <= STRONGEST, f"--strength must be from 0 to {STRONGEST}, not {strength}")


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
    base: Annotated[str | None, shown("MODEL", "where the run found it")] = None
    """The run's base, if it has moved since."""
    config: ConfigFolder = None
    """For a --base that is a single file: a diffusers folder of its architecture, for the configs
    and tokenizer, if that has moved too."""
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
        check_strength(self.strength)
        require(
            self.config is None or self.base is not None,
            f"--config {self.config}: tells of a base that has moved; add --base FILE",
        )
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
