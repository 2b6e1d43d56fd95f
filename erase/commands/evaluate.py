"""`expunge evaluate concept`: the same prompts and seeds, the original beside the erased model."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from erase import checkpoint
from erase.commands.judges import choose_judges
from erase.commands.lock import evaluating
from erase.commands.target import (
    drawing,
    find_models,
    locate,
    missing,
    open_bar,
    precision,
    subject,
)
from erase.config import EvaluateConcept
from eval.concept.evaluate import EVALUATION, GRID, evaluate_concept
from eval.concept.results import ConceptEvaluation
from eval.metrics.rates import cell, change
from eval.report.tables import METRICS, control_lines, meaning
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.control_rows import control_rows
from prompts.evaluation_rows import concept_rows
from prompts.imagenette import VOCABULARY, is_imagenette


def run_concept(settings: EvaluateConcept) -> dict[str, Any]:
    """Measure, then print a table (or one JSON object); returns evaluation.json's content."""
    evaluation, out = measure(settings)
    if settings.json:
        print(json.dumps(evaluation.to_dict()))
    else:
        print(f"{table(evaluation)}\n\nfigures: {out / EVALUATION}\npicture: {out / GRID}")
    return evaluation.to_dict()


def measure(settings: EvaluateConcept) -> tuple[ConceptEvaluation, Path]:
    """Draw, judge and count without printing; the result and the folder that holds it."""
    place = locate(settings, "concept")
    if not place.concepts:
        raise missing("--concept", settings.target)
    original, erased = find_models(place)
    home = original or erased
    spec = _load(place.concepts, checkpoint.vocabulary(home))
    device = checkpoint.resolve_device(settings.device)
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


def table(evaluation: ConceptEvaluation) -> str:
    """The three metrics, original and erased side by side with their 95 % intervals."""
    images = sum(evaluation.protocol.images.values())
    name = evaluation.protocol.name
    lines = [
        f"{evaluation.concept.name}: {name} protocol, {images} images a model, "
        "the same prompts and seeds; in %, [95 % interval]",
        f"{'':53}{'original':>22}{'erased':>22}{'change':>9}",
    ]
    for metric in METRICS:
        before = getattr(evaluation.original, metric, None)
        after = getattr(evaluation.erased, metric)
        difference = change(before, after)
        label = f"{metric:5}{meaning(metric, evaluation.concept.kind)}"
        moved = "" if difference is None else f"{difference:+.1f}"
        lines.append(f"{label:53}{cell(before):>22}{cell(after):>22}{moved:>9}".rstrip())
    lines += [f"note: no {key}: {reason}" for key, reason in evaluation.notes.items()]
    return "\n".join([*lines, *control_lines(evaluation)])
