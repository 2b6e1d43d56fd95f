"""An erased run and the base it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from erase.models.architectures.known import of_config
from erase.models.denoiser_files import read_config
from erase.models.locate import locate_recorded
from erase.models.model_source import ModelSource
from erase.models.part_weights import run_weights
from erase.run_folder.folder import find_denoiser, is_run, read_run
from erase.run_folder.record import RunRecord
from erase.tensors.weight_files import Weights
from plumbing.errors import UsageError


@dataclass(frozen=True)
class ErasedRun:
    """A finished run, its weights not read yet."""

    folder: Path
    record: RunRecord
    weights: Weights
    """Those of the erased denoiser."""
    config: Mapping[str, Any]
    """The denoiser's config.json."""

    @property
    def denoiser(self) -> str:
        """The folder of the erased weights, in the run as in a pipeline."""
        return of_config(self.config).denoiser

    @property
    def concept(self) -> str:
        """What was erased."""
        return self.record.name

    def locate_base(self) -> ModelSource:
        """Find the model it was erased from; gone or altered is a UsageError."""
        base = self.record.base
        source = locate_recorded(base)
        if source.digest != base.digest:
            raise UsageError(
                f"{self.folder}: its base {base.id} is not the one that was erased (digest "
                f"{source.digest[:12]}, expected {base.digest[:12]}); restore that model"
            )
        return source


def open_run(folder: Path) -> ErasedRun:
    """Open a run that is finished; anything else is a UsageError."""
    if not is_run(folder):
        hint = f", as {folder.parent}" if is_run(folder.parent) else ""
        raise UsageError(f"{folder}: no run folder; give one that `expunge erase` wrote{hint}")
    record = read_run(folder, "base", "concepts")
    if record.command == "mask":
        raise UsageError(
            f"{folder}: a mask alone, nothing was erased; take it with "
            "`expunge erase CONCEPT --mask FILE`"
        )
    denoiser = find_denoiser(folder)
    if not record.finished or denoiser is None:
        raise UsageError(f"{folder}: this run is not finished; finish it with its `expunge erase`")
    weights = Weights(run_weights(denoiser).files)
    return ErasedRun(folder, record, weights, read_config(denoiser))


def find_base(erased: ErasedRun, given: str | None, **words: Any) -> ModelSource:
    """The base that a run is to be compared with, whatever its hashes; gone is a UsageError.

    `given` is where it is now, and `words` what else `locate` is to be told of it.
    """
    base = erased.record.base
    if given:
        told = {key: str(value) for key, value in words.items() if value is not None}
        return locate_recorded(replace(base, id=given, revision=None, **told))
    try:
        return locate_recorded(base)
    except UsageError as error:
        raise UsageError(f"{error}; if the base has moved, say where with --base") from error
