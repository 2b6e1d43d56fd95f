"""Where a model's files lie, and their hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from erase.models.architectures.architecture import Architecture
from erase.models.part_weights import DIFFUSERS, PartWeights, require_weights, run_weights

MINIATURE = Path(__file__).parents[1] / "miniature"
INDEX = "model_index.json"


@dataclass(frozen=True)
class ModelSource:
    """Where a model came from: `files` maps each file that defines it to its sha256."""

    id: str
    revision: str | None
    files: dict[str, str]
    folder: Path
    architecture: Architecture
    variant: str | None = None
    denoiser: Path | None = None
    """That folder of a run, when it takes the place of the base model's own."""
    single_file: Path | None = None
    """The file with the weights, when `folder` has the configs and the tokenizer alone."""
    prediction_type: str | None = None
    """What the denoiser of a single file predicts, which its configs need not tell rightly."""
    base: ModelSource | None = field(default=None, compare=False, repr=False)
    """What a run was made of, already found and hashed."""

    @property
    def digest(self) -> str:
        """One sha256 over the names and hashes of all files: equal digests mean equal models."""
        lines = "".join(f"{name} {self.files[name]}\n" for name in sorted(self.files))
        if self.prediction_type:
            lines += f"prediction type {self.prediction_type}\n"
        return hashlib.sha256(lines.encode()).hexdigest()

    def weights_of(self, part: str) -> PartWeights:
        """The files with a part's weights, of a run's denoiser its own; none is a UsageError."""
        if self.denoiser is not None and part == self.architecture.denoiser:
            return run_weights(self.denoiser)
        layout = self.architecture.layout(part) or DIFFUSERS
        return require_weights(f"--model {self.id}", self.folder / part, layout, self.variant)

    @property
    def denoiser_folder(self) -> Path:
        """Where the denoiser's config.json is, and its weights unless in a single file."""
        return self.denoiser or self.folder / self.architecture.denoiser

    def record(self) -> dict[str, Any]:
        """What run.json's `base` holds: enough for `locate_recorded` to find the model again."""
        own = self.single_file is not None and self.denoiser is None
        found = {"id": self.id, "revision": self.revision, "variant": self.variant}
        if own:
            found |= {"config": str(self.folder), "prediction_type": self.prediction_type}
        return {**found, "digest": self.digest, "files": self.files}
