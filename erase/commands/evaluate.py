"""`expunge evaluate concept`: the same prompts and seeds, the original beside the erased model."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from erase import checkpoint
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
from eval.classifier import Classifier, load_classifier
from eval.concept import EVALUATION, GRID, Domain, evaluate_concept
from eval.metrics import cell, change
from eval.report_tables import METRICS, meaning
from eval.results import ConceptEvaluation
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.evaluation import concept_rows
from prompts.wording import normalise


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
    place = locate(
        settings.target,
        "concept",
        baseline=settings.baseline,
        out=settings.out,
        originals=settings.originals,
        concepts=settings.concept,
    )
    if not place.concepts:
        raise missing("--concept", settings.target)
    original, erased = find_models(place)
    home = original or erased
    words = checkpoint.vocabulary(home)
    spec = combine([load_concept(concept, words) for concept in place.concepts])
    judges = _judges(spec, words, home)
    dtype = precision(settings.device, settings.dtype)
    under_test = partial(subject, sampler=settings.sampler, device=settings.device, dtype=dtype)
    target = under_test(place.target, erased)
    evaluation = evaluate_concept(
        spec,
        concept_rows(spec, words, settings.protocol, settings.seed),
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
        overwrite=settings.overwrite,
    )
    return evaluation, place.out


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
    return "\n".join(lines)


def _judges(
    spec: ConceptSpec, words: Vocabulary | None, home: checkpoint.ModelSource
) -> Mapping[Domain, Classifier]:
    """The model's own judges if one can name the concept, else the classifier its file names."""
    known = {normalise(label) for label in (*words.objects, *words.styles)} if words else set()
    if known & {normalise(label) for label in spec.labels}:
        domains: tuple[Domain, ...] = ("object", "style")
        folders: dict[Domain, Path | None] = {
            domain: checkpoint.judge_folder(home, domain) for domain in domains
        }
        return {domain: load_classifier(path) for domain, path in folders.items() if path}
    if spec.detector and ("/" in spec.detector or Path(spec.detector).is_dir()):
        return {"object": load_classifier(spec.detector)}
    return {}
