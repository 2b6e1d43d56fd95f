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
from erase.models.named_model import meant
from erase.models.part_weights import run_weights
from erase.run_folder.folder import find_denoiser, is_run, read_run
from erase.run_folder.record import Base, RunRecord
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
    moved: Base | None = None
    """The base where it is now, if not where it was."""

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
        base = self.moved or self.record.base
        source = _located(base, self.moved)
        if source.digest != base.digest:
            raise UsageError(
                f"{self.folder}: its base {base.id} is not the one that was erased (digest "
                f"{source.digest[:12]}, expected {base.digest[:12]}); restore that model"
            )
        return source


def open_run(folder: Path, moved: str | None = None, config: Path | None = None) -> ErasedRun:
    """Open a run that is finished; anything else is a UsageError.

    `moved` is where its base is now, if not where it was, and `config` what `locate` is to be told
    of that if it is one file.
    """
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
    found = ErasedRun(folder, record, weights, read_config(denoiser))
    return replace(found, moved=moved_base(record.base, moved, config=config)) if moved else found


def moved_base(base: Base, now: str, **words: Any) -> Base:
    """A run's base where it is `now`; `words` are what else `locate` is to be told of it."""
    told = {key: str(value) for key, value in words.items() if value is not None}
    return replace(base, id=meant(now), revision=None, **told)


def find_base(erased: ErasedRun, given: str | None, **words: Any) -> ModelSource:
    """The base that a run is to be compared with, whatever its hashes; gone is a UsageError.

    `given` is where it is now, and `words` what else `locate` is to be told of it.
    """
    base = erased.record.base
    return _located(moved_base(base, given, **words) if given else base, given)


def _located(base: Base, moved: object) -> ModelSource:
    try:
        return locate_recorded(base)
    except UsageError as error:
        if moved:
            raise UsageError(str(error).replace("--model", "--base", 1)) from error
        raise UsageError(f"{error}; if the base has moved, say where with --base") from error
