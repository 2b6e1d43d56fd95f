"""`expunge evaluate concept`: the same prompts and seeds, the original beside the erased model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase import checkpoint, run
from erase.config import EvaluateConcept
from eval.classifier import Classifier, load_classifier
from eval.concept import EVALUATION, GRID, Domain, evaluate_concept
from eval.generate import Drawing, native_size
from eval.metrics import change
from eval.pair import Subject
from eval.results import ConceptEvaluation, Metric
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.errors import UsageError
from prompts.evaluation import concept_rows
from prompts.wording import normalise

MEANINGS = {
    "ua": "forget prompts no longer drawn as the concept",
    "ira": "other {kind}s still drawn right",
    "cra": "{other}s still drawn right",
}


@dataclass(frozen=True)
class Place:
    """What to compare, about which concepts, and where the result goes."""

    target: str
    baseline: str | None
    baseline_revision: str | None
    variant: str | None
    concepts: tuple[str, ...]
    out: Path
    originals: Path


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
    place = locate(settings)
    erased = checkpoint.locate(place.target)
    original = place.baseline and checkpoint.locate(
        place.baseline, revision=place.baseline_revision, variant=place.variant
    )
    home = original or erased
    words = checkpoint.vocabulary(home)
    spec = combine([load_concept(concept, words) for concept in place.concepts])
    judges = _judges(spec, words, home)
    subject = _subject(place.target, erased, settings)
    miniature = home.folder == checkpoint.MINIATURE
    guidance = settings.guidance_scale
    evaluation = evaluate_concept(
        spec,
        concept_rows(spec, words, settings.protocol, settings.seed),
        original=_subject(place.baseline, original, settings) if original else None,
        erased=subject,
        judges=judges,
        drawing=Drawing(
            sampler=settings.sampler,
            steps=settings.steps or (25 if miniature else 50),
            guidance_scale=guidance if guidance is not None else (5.0 if miniature else 7.5),
            size=native_size(subject.open()),
        ),
        batch_size=settings.batch_size,
        protocol=(settings.protocol, settings.seed),
        out=place.out,
        originals=place.originals,
        open_bar=lambda total, done: tqdm(total=total, initial=done, unit="image", desc="draw"),
        overwrite=settings.overwrite,
    )
    return evaluation, place.out


def locate(settings: EvaluateConcept) -> Place:
    """Fill in what a run folder tells of itself; UsageError for a flag that is then missing."""
    target = Path(settings.target)
    if run.is_run(target):
        record = run.read_run(target)
        base = record["base"]
        return Place(
            target=settings.target,
            baseline=settings.baseline or base["id"],
            baseline_revision=None if settings.baseline else base["revision"],
            variant=None if settings.baseline else base.get("variant"),
            concepts=settings.concept or tuple(record["concepts"]),
            out=settings.out or target / "eval" / "concept",
            originals=settings.originals or target.resolve().parent / ".originals",
        )
    for flag, value in (("--concept", settings.concept), ("--out", settings.out)):
        if not value:
            raise UsageError(f"{flag} is missing: {settings.target} is no run folder, so give it")
    assert settings.out is not None
    return Place(
        target=settings.target,
        baseline=settings.baseline,
        baseline_revision=None,
        variant=None,
        concepts=settings.concept,
        out=settings.out,
        originals=settings.originals or settings.out.resolve().parent / ".originals",
    )


def table(evaluation: ConceptEvaluation) -> str:
    """The three metrics, original and erased side by side with their 95 % intervals."""
    kind = evaluation.concept.kind
    other = {"object": "style", "style": "object"}.get(kind, "other domain")
    images = sum(evaluation.protocol.images.values())
    name = evaluation.protocol.name
    lines = [
        f"{evaluation.concept.name}: {name} protocol, {images} images a model, "
        "the same prompts and seeds; in %, [95 % interval]",
        f"{'':53}{'original':>22}{'erased':>22}{'change':>9}",
    ]
    for metric, meaning in MEANINGS.items():
        before = getattr(evaluation.original, metric, None)
        after = getattr(evaluation.erased, metric)
        difference = change(before, after)
        label = f"{metric:5}{meaning.format(kind=kind, other=other)}"
        moved = "" if difference is None else f"{difference:+.1f}"
        lines.append(f"{label:53}{cell(before):>22}{cell(after):>22}{moved:>9}".rstrip())
    lines += [f"note: no {key}: {reason}" for key, reason in evaluation.notes.items()]
    return "\n".join(lines)


def cell(metric: Metric | None) -> str:
    """A metric as `97.1 [95.0, 98.4]`, or a dash."""
    if metric is None:
        return "-"
    return f"{metric.value:.1f} [{metric.ci95[0]:.1f}, {metric.ci95[1]:.1f}]"


def _subject(
    name: str | None, source: checkpoint.ModelSource, settings: EvaluateConcept
) -> Subject:
    """A model under test, opened once and only when it has something to draw."""

    @cache
    def open_pipeline() -> Any:
        loaded = checkpoint.load_checkpoint(source, device=settings.device, dtype=settings.dtype)
        return loaded.pipeline(settings.sampler)

    # A folder's own name: where it lies says nothing, and differs between machines.
    path = Path(name or source.id)
    shown = path.resolve().name if path.exists() else str(name)
    return Subject(name=shown, sha256=source.digest, open=open_pipeline)


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
