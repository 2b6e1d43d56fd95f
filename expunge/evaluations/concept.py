"""Evaluate a target on its concept."""

from collections.abc import Sequence
from pathlib import Path

from erase.models.checkpoint import load_checkpoint
from erase.models.companions import vocabulary
from erase.models.devices import resolve_device
from eval.concept.evaluate import draw_and_judge
from eval.concept.results import ConceptEvaluation
from expunge.evaluations.evaluation_lock import evaluating
from expunge.evaluations.judge_choice import choose_judges
from expunge.evaluations.models_under_test import (
    Load,
    drawing,
    find_models,
    find_place,
    missing,
    pair_up,
)
from expunge.evaluations.near import nearest_labels
from expunge.settings.evaluate import EvaluateConcept
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.control_rows import control_rows
from prompts.evaluation_rows import concept_rows, protocol_name
from prompts.imagenette import VOCABULARY, is_imagenette


def evaluate_concept(
    settings: EvaluateConcept, *, load: Load = load_checkpoint
) -> tuple[ConceptEvaluation, Path] | None:
    """Draw, judge and count without printing; the result and the folder that holds it.

    A finished evaluation that asks the same is read, and no model under test is loaded. `load`
    opens one. Bad input is a UsageError. None in a process of a launch that does not lead it.
    """
    place = find_place(settings, "concept")
    if not place.concepts:
        raise missing("--concept", settings.target)
    original, erased = find_models(place)
    home = original or erased
    sampler = settings.sampler or home.architecture.sampler
    spec = _load(place.concepts, vocabulary(home))
    device = resolve_device(settings.device)
    judges, words = choose_judges(spec, home, settings.detector, device)
    near = nearest_labels(spec, words, home, device) if settings.protocol != "demo" else ()
    with evaluating(place):
        found = draw_and_judge(
            spec,
            concept_rows(spec, words, settings.protocol, settings.seed, near),
            control_rows(spec, words, settings.seed),
            pair_up(place, original, erased, settings, sampler=sampler, load=load),
            judges,
            drawing(home, erased, settings, sampler=sampler),
            protocol=(protocol_name(settings.protocol), settings.seed),
            detector=settings.detector,
            overwrite=settings.overwrite,
        )
    return (found, place.out) if found else None


def _load(concepts: Sequence[str], words: Vocabulary | None) -> ConceptSpec:
    """The concepts as one, in the words of the model's own judges or else of Imagenette."""
    spec = combine([load_concept(concept, words) for concept in concepts])
    if words is None and is_imagenette(spec):
        return combine([load_concept(concept, VOCABULARY) for concept in concepts])
    return spec
