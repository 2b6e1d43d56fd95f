"""What did erasing cost? Retained prompts drawn by both models, compared through CLIP."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from eval.control.collapse import look_at_control, signs
from eval.generation.before_after_grid import Section, draw_grid
from eval.generation.cost import drawing_cost
from eval.generation.evaluation_folder import refuse_other, start_folder
from eval.generation.generate import Drawing
from eval.generation.image_log import image_path
from eval.generation.pair import ModelPair, draw_pair
from eval.judges.clip import Clip
from eval.metrics.distances import FEWEST
from eval.metrics.schema import write_evaluation
from eval.quality.image_lines import ImageQuality, image_lines, measure_images, worst_images
from eval.quality.inception import Inception
from eval.quality.measures.fid import require_for_fid
from eval.quality.measures.known import MEASURES
from eval.quality.measures.measure import Features, Measure, Plan, Sight
from eval.quality.real_images import ImageFolder
from eval.quality.results import QualityEvaluation, QualityProtocol, Scores, read_quality
from plumbing.errors import UsageError
from plumbing.whole_files import replace_file
from prompts.evaluation_rows import PromptRow

EVALUATION, SIMILARITIES, WORST = "evaluation.json", "similarities.jsonl", "worst.png"
SHOWN, COLUMNS = 20, 10
FEW = 100
"""Images below which a note says how little the numbers rest on."""


@dataclass(frozen=True)
class Retained:
    """The prompts that the models should still draw as before, and what is known of them."""

    rows: Sequence[PromptRow]
    source: str
    """`retain`, the concept's own, or the name of the user's file."""
    seed: int
    """The seed that the rows' own were made from."""
    concepts: tuple[str, ...]
    notes: Mapping[str, str]


def draw_and_compare(
    retained: Retained,
    control: Sequence[PromptRow],
    pair: ModelPair,
    clip: Clip,
    drawing: Drawing,
    *,
    real: ImageFolder | None,
    inception: Inception | None = None,
    overwrite: bool = False,
    measures: Sequence[Measure] = MEASURES,
) -> QualityEvaluation | None:
    """Draw and compare; `out` gets evaluation.json, similarities.jsonl, worst.png and the images.

    `control` is drawn to tell whether the model draws anything at all, and counts for nothing else.
    With `inception` there is an FID too, if it is among the `measures`. An evaluation that is
    already in `out` is returned if it asks the same, and is a UsageError otherwise, unless
    `overwrite`. Bad input is a UsageError, raised before anything is written. None in a process of
    a launch that does not lead it.
    """
    out = pair.out
    rows = retained.rows
    if len(rows) < FEWEST:
        raise UsageError(
            f"--prompts: {len(rows)} prompts of {retained.source!r} are left to draw, which is too "
            f"few to measure by; give {FEWEST} or more that do not name the concept"
        )
    if inception:
        require_for_fid(len(rows), len(real.files) if real else None, original=bool(pair.original))
    question = _question(retained, pair, clip, inception, real, drawing)
    question = replace(question, notes=_notes(retained, question, clip, inception, measures))
    if (out / EVALUATION).exists() and not overwrite:
        previous = read_quality(out / EVALUATION, measures)
        refuse_other(out, previous.differences(question))
        return previous
    # Before the hours of drawing: one of them may be broken.
    real_features = clip.image_features(real.files) if real else None
    start_folder(out, pair.originals, (EVALUATION, SIMILARITIES, WORST), overwrite=overwrite)
    if not draw_pair([*rows, *control], pair, drawing):
        return None
    sight = _look(rows, pair, clip, inception, real, real_features)
    replace_file(out / SIMILARITIES, image_lines(sight.images).encode())
    worst = worst_images(sight.images, SHOWN)
    _draw_picture(worst, out, list(pair.subjects))
    result = replace(
        question,
        original=_of_model(measures, sight, "original") if pair.original else None,
        erased=_of_model(measures, sight, "erased"),
        change=_of_change(measures, sight) if pair.original else None,
        worst=tuple(image.id for image in worst),
    )
    seen = look_at_control(control, out, paired=pair.original is not None)
    told = {"control": seen, "collapsed": signs(seen) if seen else None}
    result = replace(result, **told, cost=drawing_cost(out))
    write_evaluation(out / EVALUATION, result)
    return result


def _question(
    retained: Retained,
    pair: ModelPair,
    clip: Clip,
    inception: Inception | None,
    real: ImageFolder | None,
    drawing: Drawing,
) -> QualityEvaluation:
    """The evaluation before its answers."""
    lines = json.dumps([asdict(row) for row in retained.rows], sort_keys=True)
    libraries = ("diffusers", "torch", "transformers", *(["torch-fidelity"] if inception else []))
    there = {"name": real.name, "images": len(real.files), "sha256": real.sha256} if real else {}
    return QualityEvaluation(
        protocol=QualityProtocol(
            prompts=retained.source,
            images=len(retained.rows),
            seed=retained.seed,
            **drawing.told,
            rows_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        ),
        concepts=retained.concepts,
        models=pair.told,
        clip={"name": clip.name, "sha256": clip.sha256},
        real=there,
        original=None,
        erased=None,
        change=None,
        versions={name: version(name) for name in libraries},
        inception={"name": inception.name, "sha256": inception.sha256} if inception else {},
    )


def _notes(
    retained: Retained,
    question: QualityEvaluation,
    clip: Clip,
    inception: Inception | None,
    measures: Sequence[Measure],
) -> dict[str, str]:
    """What is missing, or rests on little, and why."""
    compared, notes = "original" in question.models, dict(retained.notes)
    if not compared:
        notes["original"] = "no baseline was given"
    fewest = min(len(retained.rows), int(question.real.get("images", len(retained.rows))))
    published = inception.published if inception else None
    plan = Plan(fewest, compared or bool(question.real), clip.width, published)
    notes |= {measure.name: why for measure in measures if (why := measure.note(plan))}
    if fewest < FEW:
        notes["images"] = f"{fewest} are few: take {FEW} or more before you trust a distance"
    return notes


def _look(
    rows: Sequence[PromptRow],
    pair: ModelPair,
    clip: Clip,
    inception: Inception | None,
    real: ImageFolder | None,
    real_features: Features | None,
) -> Sight:
    """The images that were drawn, and the real ones, through CLIP and perhaps Inception."""
    files: dict[str, Sequence[Path]] = {
        model: [image_path(pair.out / model, row.id) for row in rows] for model in pair.subjects
    }
    features = {model: clip.image_features(paths) for model, paths in files.items()}
    texts = clip.text_features([row.prompt for row in rows])
    images = measure_images(rows, texts, features.get("original"), features["erased"])
    if real and real_features is not None:
        files["real"], features["real"] = real.files, real_features
    found = {who: inception.image_features(files[who]) for who in files} if inception else {}
    return Sight(images, files, features, found)


def _of_model(measures: Sequence[Measure], sight: Sight, model: str) -> Scores:
    lines = {measure.name: measure.of_model for measure in measures}
    return {name: line.measure(sight, model) for name, line in lines.items() if line}


def _of_change(measures: Sequence[Measure], sight: Sight) -> Scores:
    return {m.name: m.change.measure(sight, "erased") for m in measures if m.change}


def _draw_picture(worst: Sequence[ImageQuality], out: Path, models: Sequence[str]) -> None:
    """The worst images with their numbers, in rows of ten: chosen by result, and saying so."""
    pair = len(models) > 1
    sections = []
    for start in range(0, len(worst), COLUMNS):
        part = worst[start : start + COLUMNS]
        heading = f"{start + 1} to {start + len(part)}"
        numbers = [image.similarity if pair else image.clip_score_erased for image in part]
        captions = [f"{n:.1f}: {image.prompt}" for n, image in zip(numbers, part, strict=True)]
        files = [[image_path(out / model, image.id) for image in part] for model in models]
        sections.append(Section(heading, captions, files))
    measure = (
        "least like the original's (similarity)"
        if pair
        else "least like their prompts (CLIP score)"
    )
    draw_grid(out / WORST, f"The {len(worst)} images {measure}", list(models), sections)
