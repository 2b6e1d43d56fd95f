"""What every `expunge evaluate …` begins with: the models to compare, and where the result goes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase.diffusion.scheduler_config import require_steps
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.devices import resolve_device, resolve_dtype
from erase.models.erased_run import moved_base
from erase.models.locate import locate, locate_recorded, locate_run, native_size
from erase.models.model_source import ModelSource
from erase.models.named_model import is_single_file, meant
from erase.models.recommended import read_recommended
from erase.run_folder.folder import is_run, read_run
from erase.run_folder.record import Base
from eval.generation.generate import Drawing
from eval.generation.pair import ModelPair, Subject
from expunge.settings.evaluate import DrawnEvaluation, Evaluation
from plumbing.errors import UsageError

SHARING = ("concept", "quality")
"""Kinds whose images are drawn alike, from prompts that no user need be ashamed of."""
Load = Callable[..., Bundle]
"""Loads a `ModelSource`, told `device` and `dtype`."""


@dataclass(frozen=True)
class Place:
    """What to compare, about which concepts, and where the result goes."""

    target: str
    baseline: str | None
    recorded: Base | None
    """The baseline as a run.json's `base` tells of it, unless another one was given."""
    moved: Base | None
    """The base of the run that is the target, if it is not where the run found it."""
    concepts: tuple[str, ...]
    out: Path
    originals: Path
    siblings: tuple[Path, ...]
    """Folders of what a run's other evaluations had its model draw."""
    told: Mapping[str, Any]
    """What `models.locate` is to be told of single files."""


def find_place(settings: Evaluation, kind: str) -> Place:
    """Fill in what a run folder tells of itself; UsageError for a folder that is then missing.

    `kind` is the evaluation's folder below the run's `eval`.
    """
    target, baseline, out = meant(settings.target), settings.baseline, settings.out
    concepts = settings.concept if isinstance(settings, DrawnEvaluation) else ()
    told = {"config": settings.config, "prediction_type": settings.prediction_type}
    folder = Path(target)
    if is_run(folder):
        record = read_run(folder, "base", "concepts")
        moved = moved_base(record.base, settings.base, **told) if settings.base else None
        return Place(
            target=target,
            baseline=baseline or record.base.id,
            recorded=None if baseline else moved or record.base,
            moved=moved,
            concepts=concepts or record.concepts,
            out=out or folder / "eval" / kind,
            originals=settings.originals or folder.resolve().parent / ".originals",
            siblings=tuple(
                folder / "eval" / other / "erased" for other in SHARING if kind in SHARING
            ),
            told=told,
        )
    if settings.base is not None:
        raise UsageError(f"--base {settings.base}: {target} is no run folder; give --baseline")
    if out is None:
        raise missing("--out", target)
    return Place(
        target=target,
        baseline=baseline,
        recorded=None,
        moved=None,
        concepts=concepts,
        out=out,
        originals=settings.originals or out.resolve().parent / ".originals",
        siblings=(),
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

    try:
        run = Path(place.target)
        erased = locate_run(run, moved=place.moved) if place.moved else find(place.target)
    except UsageError as error:
        if place.moved:
            where = place.moved.id
            said = str(error).replace(f"--model {where}", f"--base {where}", 1)
            raise UsageError(said) from error
        if place.recorded is None:
            raise
        raise UsageError(f"{error}; if the run's base has moved, say where with --base") from error
    if place.baseline is None:
        return None, erased
    if place.recorded is not None:
        # Gigabytes to hash, and just hashed.
        return erased.base or locate_recorded(place.recorded), erased
    return find(place.baseline), erased


def pair_up(
    place: Place,
    original: ModelSource | None,
    erased: ModelSource,
    settings: Evaluation,
    *,
    sampler: str,
    load: Load = load_checkpoint,
) -> ModelPair:
    """The models to compare, each opened by `load`, once and only when it has something to draw."""
    dtype = precision(settings)

    def subject(name: str | None, source: ModelSource) -> Subject:
        @cache
        def open_pipeline() -> Any:
            return load(source, device=settings.device, dtype=dtype).pipeline(sampler)

        # A folder's own name: where it lies says nothing, and differs between machines.
        path = Path(name or source.id)
        known = path.exists() or path.is_absolute()
        shown = path.resolve().name if known else str(name)
        return Subject(name=shown, sha256=source.digest, open=open_pipeline)

    return ModelPair(
        original=subject(place.baseline, original) if original else None,
        erased=subject(place.target, erased),
        out=place.out,
        originals=place.originals,
        batch_size=settings.batch_size,
        open_bar=partial(open_bar, "draw"),
        siblings=[path for path in place.siblings if path != place.out / "erased"],
    )


def precision(settings: Evaluation) -> str:
    """What `--dtype` comes to on `--device`, by torch's name."""
    return str(resolve_dtype(settings.dtype, resolve_device(settings.device)))[6:]


def drawing(
    home: ModelSource,
    erased: ModelSource,
    settings: DrawnEvaluation,
    *,
    sampler: str,
    dtype: str | None = None,
) -> Drawing:
    """How images are drawn at the erased model's own size: as told, else as `home` recommends."""
    usual, guidance = read_recommended(home), settings.guidance_scale
    steps = settings.steps or usual.steps_of(sampler)
    require_steps(erased.folder, steps, "--steps")
    return Drawing(
        sampler=sampler,
        steps=steps,
        guidance_scale=usual.guidance_scale if guidance is None else guidance,
        size=native_size(erased),
        dtype=dtype or precision(settings),
    )


def open_bar(name: str, total: int, done: int, unit: str = "image") -> tqdm:
    """The progress bar of the drawing or the detecting."""
    return tqdm(total=total, initial=done, unit=unit, desc=name)
