"""Where a model's files lie, and their hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINIATURE = Path(__file__).parents[1] / "miniature"
PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
XL_PARTS = (*PARTS, "text_encoder_2", "tokenizer_2")
INDEX = "model_index.json"


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from: `files` maps each file that defines it to its sha256."""

    id: str
    revision: str | None
    files: dict[str, str]
    folder: Path
    variant: str | None = None
    unet: Path | None = None
    """The `unet/` folder of a run, when it takes the place of the base model's own."""
    single_file: Path | None = None
    """The file with the weights, when `folder` has the configs and the tokenizer alone."""
    prediction_type: str | None = None
    """What the UNet of a single file predicts, which its configs need not tell rightly."""

    @property
    def digest(self) -> str:
        """One sha256 over the names and hashes of all files: equal digests mean equal models."""
        lines = "".join(f"{name} {self.files[name]}\n" for name in sorted(self.files))
        if self.prediction_type:
            lines += f"prediction type {self.prediction_type}\n"
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def is_xl(self) -> bool:
        """Whether it is an SDXL, which has a second text encoder."""
        return "text_encoder_2/config.json" in self.files

    def record(self) -> dict[str, Any]:
        """What run.json's `base` holds: enough for `locate_recorded` to find the model again."""
        own = self.single_file is not None and self.unet is None
        found = {"id": self.id, "revision": self.revision, "variant": self.variant}
        if own:
            found |= {"config": str(self.folder), "prediction_type": self.prediction_type}
        return {**found, "digest": self.digest, "files": self.files}


def variant_of(folder: Path, variant: str | None) -> str | None:
    """The variant, if the folder has weights of it."""
    return variant if variant and any(folder.glob(f"*.{variant}.*")) else None
