"""Evaluate a target's image quality."""

from collections.abc import Sequence
from pathlib import Path

from erase.models.checkpoint import load_checkpoint
from erase.models.companions import clip_folder, vocabulary
from erase.models.devices import resolve_device
from eval.judges.clip import load_clip
from eval.metrics.distances import FEWEST
from eval.quality.evaluate import Retained, draw_and_compare
from eval.quality.inception import load_inception
from eval.quality.measures.fid import require_for_fid
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Measure
from eval.quality.real_images import find_images
from eval.quality.results import QualityEvaluation
from expunge.evaluations.evaluation_lock import evaluating
from expunge.evaluations.models_under_test import (
    Load,
    drawing,
    find_models,
    find_place,
    pair_up,
)
from expunge.settings.evaluate import EvaluateQuality
from plumbing.errors import UsageError
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.concept_file import concept_path
from prompts.control_rows import control_rows
from prompts.evaluation_rows import kept_rows, retain_rows
from prompts.prompt_list import read_prompts

DEFAULT_CLIP = "openai/clip-vit-large-patch14"


def evaluate_quality(
    settings: EvaluateQuality,
    measures: Sequence[Measure] = MEASURES,
    *,
    load: Load = load_checkpoint,
) -> tuple[QualityEvaluation, Path] | None:
    """Draw and compare without printing; the result and the folder that holds it.

    A finished evaluation that asks the same is read, and no model under test is loaded. `load`
    opens one. Bad input is a UsageError. None in a process of a launch that does not lead it.
    """
    place = find_place(settings, "quality")
    if not place.concepts and settings.prompts is None:
        raise UsageError(
            f"--concept is missing: {settings.target} is no run folder, so give it, or --prompts"
        )
    original, erased = find_models(place)
    home = original or erased
    sampler = settings.sampler or home.architecture.sampler
    words = vocabulary(home)
    spec = combine([load_concept(c, words) for c in place.concepts]) if place.concepts else None
    retained = _retained(settings, place.concepts, spec, words)
    real = find_images(settings.real, "--real", FEWEST) if settings.real else None
    device = resolve_device(settings.device)
    inception = None
    if settings.fid:
        # Before CLIP, which may have to be fetched.
        count = len(real.files) if real else None
        require_for_fid(len(retained.rows), count, original=bool(original))
        inception = load_inception(settings.fid_weights, device)
    clip = load_clip(settings.clip or clip_folder(home) or DEFAULT_CLIP, device)
    with evaluating(place):
        found = draw_and_compare(
            retained,
            control_rows(spec, words, settings.seed),
            pair_up(place, original, erased, settings, sampler=sampler, load=load),
            clip,
            drawing(home, erased, settings, sampler=sampler),
            real=real,
            inception=inception,
            overwrite=settings.overwrite,
            measures=measures,
        )
    return (found, place.out) if found else None


def _retained(
    settings: EvaluateQuality,
    concepts: tuple[str, ...],
    spec: ConceptSpec | None,
    words: Vocabulary | None,
) -> Retained:
    """The first prompts of the user's file, or of the concept's own, that do not name it."""
    notes = {}
    if settings.prompts:
        given, source = read_prompts(settings.prompts, "--prompts"), settings.prompts.name
        kept = spec.to_keep(given, f"--prompts {settings.prompts}") if spec else given
        if spec and len(kept) < len(given):
            notes["prompts"] = f"{len(given) - len(kept)} that name {spec.name} are left out"
        rows = retain_rows(kept[: settings.images], settings.seed)
    else:
        assert spec is not None
        source = "retain"
        # A UsageError if none is left.
        spec.to_keep(spec.retain_prompts, "CONCEPT")
        rows = kept_rows(spec, words, settings.images, settings.seed)
    if len(rows) < settings.images:
        notes["fewer"] = f"{settings.images} prompts were asked for, there are {len(rows)}"
    # Where a file of the user's lies is nobody's business.
    named = tuple(path.name if (path := concept_path(c)) else c for c in concepts)
    return Retained(rows, source, settings.seed, named, notes)
