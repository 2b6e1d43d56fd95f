"""Evaluate a target on its concept."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from erase.models.companions import vocabulary
from erase.models.devices import resolve_device
from eval.concept.evaluate import evaluate_concept
from eval.concept.results import ConceptEvaluation
from expunge.evaluations.evaluation_lock import evaluating
from expunge.evaluations.judge_choice import choose_judges
from expunge.evaluations.models_under_test import (
    drawing,
    find_models,
    find_place,
    missing,
    open_bar,
    precision,
    subject,
)
from expunge.settings.evaluate import EvaluateConcept
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.control_rows import control_rows
from prompts.evaluation_rows import concept_rows
from prompts.imagenette import VOCABULARY, is_imagenette


def measure(settings: EvaluateConcept) -> tuple[ConceptEvaluation, Path]:
    """Draw, judge and count without printing; the result and the folder that holds it."""
    place = find_place(settings, "concept")
    if not place.concepts:
        raise missing("--concept", settings.target)
    original, erased = find_models(place)
    home = original or erased
    spec = _load(place.concepts, vocabulary(home))
    device = resolve_device(settings.device)
    judges, words = choose_judges(spec, home, settings.detector, device)
    dtype = precision(settings.device, settings.dtype)
    under_test = partial(subject, sampler=settings.sampler, device=settings.device, dtype=dtype)
    target = under_test(place.target, erased)
    with evaluating(place):
        evaluation = evaluate_concept(
            spec,
            concept_rows(spec, words, settings.protocol, settings.seed),
            control_rows(spec, words, settings.seed),
            original=under_test(place.baseline, original) if original else None,
            erased=target,
            judges=judges,
            drawing=drawing(
                home,
                target,
                sampler=settings.sampler,
                steps=settings.steps,
                guidance_scale=settings.guidance_scale,
                dtype=dtype,
            ),
            batch_size=settings.batch_size,
            protocol=(settings.protocol, settings.seed),
            out=place.out,
            originals=place.originals,
            open_bar=open_bar,
            detector=settings.detector,
            overwrite=settings.overwrite,
        )
    return evaluation, place.out


def _load(concepts: Sequence[str], words: Vocabulary | None) -> ConceptSpec:
    """The concepts as one, in the words of the model's own judges or else of Imagenette."""
    spec = combine([load_concept(concept, words) for concept in concepts])
    if words is None and is_imagenette(spec):
        return combine([load_concept(concept, VOCABULARY) for concept in concepts])
    return spec
