"""What did erasing cost? Retained prompts drawn by both models, compared through CLIP."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

from eval.control.collapse import look_at_control, signs
from eval.generation.before_after_grid import Section, draw_grid
from eval.generation.evaluation_folder import refuse_other, start_folder
from eval.generation.generate import Drawing
from eval.generation.image_log import image_path
from eval.generation.pair import OpenBar, Subject, draw_pair
from eval.judges.clip import Clip
from eval.metrics.distances import FEWEST
from eval.metrics.schema import Metric, write_evaluation
from eval.quality.inception import Inception
from eval.quality.measures import (
    FEW,
    Features,
    ImageQuality,
    fid_distances,
    frechet_needs,
    image_lines,
    measure_images,
    require_for_fid,
    score_change,
    score_model,
    worst_images,
)
from eval.quality.real_images import ImageFolder
from eval.quality.results import QualityEvaluation, QualityProtocol, read_quality
from plumbing.errors import UsageError
from plumbing.whole_files import replace_file
from prompts.evaluation_rows import PromptRow

EVALUATION, SIMILARITIES, WORST = "evaluation.json", "similarities.jsonl", "worst.png"
SHOWN, COLUMNS = 20, 10


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


def evaluate_quality(
    retained: Retained,
    control: Sequence[PromptRow],
    *,
    original: Subject | None,
    erased: Subject,
    clip: Clip,
    real: ImageFolder | None,
    drawing: Drawing,
    batch_size: int,
    out: Path,
    originals: Path,
    open_bar: OpenBar,
    inception: Inception | None = None,
    overwrite: bool = False,
) -> QualityEvaluation:
    """Draw and compare; `out` gets evaluation.json, similarities.jsonl, worst.png and the images.

    `control` is drawn to tell whether the model draws anything at all, and counts for nothing else.
    `originals` caches the original's images for other evaluations. With `inception` there is an
    FID too. An evaluation that is already in `out` is returned if it asks the same, and is a
    UsageError otherwise, unless `overwrite`.
    Bad input is a UsageError, raised before anything is written.
    """
    rows = retained.rows
    if len(rows) < FEWEST:
        raise UsageError(
            f"--prompts: {len(rows)} prompts of {retained.source!r} are left to draw, which is too "
            f"few to measure by; give {FEWEST} or more that do not name the concept"
        )
    if inception:
        require_for_fid(len(rows), len(real.files) if real else None, original=bool(original))
    question = _question(retained, original, erased, clip, inception, real, drawing)
    if (out / EVALUATION).exists() and not overwrite:
        previous = read_quality(out / EVALUATION)
        refuse_other(out, previous.differences(question))
        return previous
    # Before the hours of drawing: one of them may be broken.
    real_features = clip.image_features(real.files) if real else None
    start_folder(out, originals, (EVALUATION, SIMILARITIES, WORST), overwrite=overwrite)
    draw_pair(
        [*rows, *control],
        original,
        erased,
        drawing,
        batch_size=batch_size,
        out=out,
        originals=originals,
        open_bar=open_bar,
    )
    models = ("original", "erased") if original else ("erased",)
    features = {model: _features(clip, rows, out / model) for model in models}
    texts = clip.text_features([row.prompt for row in rows])
    images = measure_images(rows, texts, features.get("original"), features["erased"])
    replace_file(out / SIMILARITIES, image_lines(images).encode())
    worst = worst_images(images, SHOWN)
    _draw_picture(worst, out, models)
    fids = _fids(inception, rows, out, models, real) if inception else {}
    result = _answer(question, images, features, real_features, fids, worst)
    seen = look_at_control(control, out, paired=original is not None)
    result = replace(result, control=seen, collapsed=signs(seen) if seen else None)
    write_evaluation(out / EVALUATION, result)
    return result


def _question(
    retained: Retained,
    original: Subject | None,
    erased: Subject,
    clip: Clip,
    inception: Inception | None,
    real: ImageFolder | None,
    drawing: Drawing,
) -> QualityEvaluation:
    """The evaluation before its answers."""
    lines = json.dumps([asdict(row) for row in retained.rows], sort_keys=True)
    subjects = {"original": original, "erased": erased}
    libraries = ("diffusers", "torch", "transformers", *(["torch-fidelity"] if inception else []))
    there = {"name": real.name, "images": len(real.files), "sha256": real.sha256} if real else {}
    return QualityEvaluation(
        protocol=QualityProtocol(
            prompts=retained.source,
            images=len(retained.rows),
            seed=retained.seed,
            sampler=drawing.sampler,
            steps=drawing.steps,
            guidance_scale=float(drawing.guidance_scale),
            width=drawing.size[0],
            height=drawing.size[1],
            dtype=drawing.dtype,
            rows_sha256=hashlib.sha256(lines.encode()).hexdigest(),
        ),
        concepts=retained.concepts,
        models={k: {"name": s.name, "sha256": s.sha256} for k, s in subjects.items() if s},
        clip={"name": clip.name, "sha256": clip.sha256},
        real=there,
        original=None,
        erased=None,
        change=None,
        notes=_notes(retained, original, clip, inception, real),
        versions={name: version(name) for name in libraries},
        inception={"name": inception.name, "sha256": inception.sha256} if inception else {},
    )


def _notes(
    retained: Retained,
    original: Subject | None,
    clip: Clip,
    inception: Inception | None,
    real: ImageFolder | None,
) -> dict[str, str]:
    """What is missing, or rests on little, and why."""
    notes, count = dict(retained.notes), len(retained.rows)
    fewest = min(count, len(real.files)) if real else count
    if original is None:
        notes["original"] = "no baseline was given"
    if (original or real) and fewest < frechet_needs(clip.width):
        notes["frechet"] = (
            f"left out where a set has fewer than {frechet_needs(clip.width)} images, twice the "
            "width of the CLIP features"
        )
    if inception and not inception.published:
        notes["fid"] = "the weights are not the published ones: no other FID compares with this"
    if fewest < FEW:
        notes["images"] = f"{fewest} are few: take {FEW} or more before you trust a distance"
    return notes


def _fids(
    inception: Inception,
    rows: Sequence[PromptRow],
    out: Path,
    models: Sequence[str],
    real: ImageFolder | None,
) -> dict[str, Metric]:
    seen = {model: _features(inception, rows, out / model) for model in models}
    return fid_distances(seen | ({"real": inception.image_features(real.files)} if real else {}))


def _features(eye: Clip | Inception, rows: Sequence[PromptRow], folder: Path) -> Features:
    return eye.image_features([image_path(folder, row.id) for row in rows])


def _answer(
    question: QualityEvaluation,
    images: Sequence[ImageQuality],
    features: Mapping[str, Features],
    real: Features | None,
    fids: Mapping[str, Metric],
    worst: Sequence[ImageQuality],
) -> QualityEvaluation:
    before, after = features.get("original"), features["erased"]
    original = change = None
    if before is not None:
        original = score_model([image.clip_score_original for image in images], before, real)
        original = replace(original, fid=fids.get("original"))
        change = replace(score_change(images, before, after), fid=fids.get("change"))
    scores = score_model([image.clip_score_erased for image in images], after, real)
    return replace(
        question,
        original=original,
        erased=replace(scores, fid=fids.get("erased")),
        change=change,
        worst=tuple(image.id for image in worst),
    )


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
