"""What every `expunge evaluate …` begins with: the models to compare, and where the result goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase.models.checkpoint import load_checkpoint
from erase.models.devices import resolve_device, resolve_dtype
from erase.models.locate import is_single_file, locate, locate_recorded
from erase.models.model_source import ModelSource
from erase.models.recommended import read_recommended
from erase.run_folder.folder import is_run, read_run
from erase.run_folder.record import Base
from eval.generation.generate import Drawing, native_size
from eval.generation.pair import Subject
from expunge.settings.evaluate import DrawnEvaluation, Evaluation
from plumbing.errors import UsageError


@dataclass(frozen=True)
class Place:
    """What to compare, about which concepts, and where the result goes."""

    target: str
    baseline: str | None
    recorded: Base | None
    """The baseline as a run.json's `base` tells of it, unless another one was given."""
    concepts: tuple[str, ...]
    out: Path
    originals: Path
    told: Mapping[str, Any]
    """What `models.locate` is to be told of single files."""


def find_place(settings: Evaluation, kind: str) -> Place:
    """Fill in what a run folder tells of itself; UsageError for a folder that is then missing.

    `kind` is the evaluation's folder below the run's `eval`.
    """
    target, baseline, out = settings.target, settings.baseline, settings.out
    concepts = settings.concept if isinstance(settings, DrawnEvaluation) else ()
    told = {"config": settings.config, "prediction_type": settings.prediction_type}
    folder = Path(target)
    if is_run(folder):
        record = read_run(folder, "base", "concepts")
        return Place(
            target=target,
            baseline=baseline or record.base.id,
            recorded=None if baseline else record.base,
            concepts=concepts or record.concepts,
            out=out or folder / "eval" / kind,
            originals=settings.originals or folder.resolve().parent / ".originals",
            told=told,
        )
    if out is None:
        raise missing("--out", target)
    return Place(
        target=target,
        baseline=baseline,
        recorded=None,
        concepts=concepts,
        out=out,
        originals=settings.originals or out.resolve().parent / ".originals",
        told=told,
    )


def missing(flag: str, target: str) -> UsageError:
    """The error for a flag that only a run folder makes needless."""
    return UsageError(f"{flag} is missing: {target} is no run folder, so give it")


def find_models(place: Place) -> tuple[ModelSource | None, ModelSource]:
    """The files of the original, if there is one, and of the erased model.

    What is told of single files goes to each that is one; told of none, it is a UsageError.
    """
    baseline = None if place.recorded is not None else place.baseline
    single = {model for model in (place.target, baseline) if model and is_single_file(model)}

    def find(model: str) -> ModelSource:
        return locate(model, **(place.told if model in single or not single else {}))

    erased = find(place.target)
    if place.baseline is None:
        return None, erased
    if place.recorded is not None:
        return locate_recorded(place.recorded), erased
    return find(place.baseline), erased


def subject(
    name: str | None, source: ModelSource, *, sampler: str, device: str, dtype: str
) -> Subject:
    """A model under test, opened once and only when it has something to draw."""

    @cache
    def open_pipeline() -> Any:
        return load_checkpoint(source, device=device, dtype=dtype).pipeline(sampler)

    # A folder's own name: where it lies says nothing, and differs between machines.
    path = Path(name or source.id)
    shown = path.resolve().name if path.exists() else str(name)
    return Subject(name=shown, sha256=source.digest, open=open_pipeline)


def precision(device: str, dtype: str) -> str:
    """What `--dtype` comes to on `--device`, by torch's name."""
    return str(resolve_dtype(dtype, resolve_device(device)))[6:]


def drawing(
    source: ModelSource,
    target: Subject,
    *,
    sampler: str,
    steps: int | None,
    guidance_scale: float | None,
    dtype: str,
) -> Drawing:
    """How images are drawn at the model's own size: as told, else as the model recommends."""
    usual = read_recommended(source)
    return Drawing(
        sampler=sampler,
        steps=steps or usual.steps,
        guidance_scale=usual.guidance_scale if guidance_scale is None else guidance_scale,
        size=native_size(target.open()),
        dtype=dtype,
    )


def open_bar(total: int, done: int) -> tqdm:
    """The progress bar of the drawing."""
    return tqdm(total=total, initial=done, unit="image", desc="draw")
