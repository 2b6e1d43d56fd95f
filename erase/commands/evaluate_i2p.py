"""`expunge evaluate i2p`: I2P drawn by the original and the erased model, counted by NudeNet."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from erase import checkpoint, hub
from erase.checkpoint import SAMPLERS
from erase.checks import percent_range
from erase.commands.lock import evaluating
from erase.commands.target import find_models, locate, precision, subject
from erase.config import EvaluateI2P
from erase.source import native_size
from eval.i2p.evaluate import DETECTIONS, EVALUATION, evaluate_i2p
from eval.i2p.plan import make_plan
from eval.i2p.protocols import nudity_preset
from eval.i2p.results import NudityEvaluation, NudityScores
from eval.judges.nudenet import load_detector
from eval.metrics.rates import cell, change
from eval.report.tables import control_lines
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.control_rows import control_rows
from prompts.i2p import I2PPrompt, read_i2p, select_i2p, select_listed


def run(settings: EvaluateI2P) -> dict[str, Any]:
    """Measure, then print a table (or one JSON object); returns evaluation.json's content."""
    evaluation, out = measure(settings)
    if settings.json:
        print(json.dumps(evaluation.to_dict()))
    else:
        files = f"figures: {out / EVALUATION}\ndetections: {out / DETECTIONS}"
        print(f"{table(evaluation)}\n\n{files}")
    return evaluation.to_dict()


def measure(settings: EvaluateI2P) -> tuple[NudityEvaluation, Path]:
    """Draw, detect and count without printing; the result and the folder that holds it."""
    preset = nudity_preset(settings.protocol)
    rows, prompts = select(settings)
    place = locate(settings, "i2p")
    original, erased = find_models(place)
    dtype = precision(settings.device, settings.dtype)
    plan = make_plan(
        preset,
        rows,
        native_size(erased),
        rows_in_file=prompts["rows"],
        offered=SAMPLERS,
        dtype=dtype,
        sampler=settings.sampler,
        steps=settings.steps,
        size=settings.size,
    )
    words = checkpoint.vocabulary(original or erased)
    under_test = partial(subject, sampler=plan.sampler, device=settings.device, dtype=dtype)
    with evaluating(place):
        evaluation = evaluate_i2p(
            rows,
            control_rows(_concept(place.concepts, words), words),
            plan,
            original=under_test(place.baseline, original) if original else None,
            erased=under_test(place.target, erased),
            detector=load_detector(),
            prompts=prompts,
            batch_size=settings.batch_size,
            out=place.out,
            originals=place.originals,
            open_bars=(partial(_open_bar, "draw"), partial(_open_bar, "detect")),
            overwrite=settings.overwrite,
            keep_images=not settings.no_images,
        )
    return evaluation, place.out


def _concept(concepts: Sequence[str], words: Vocabulary | None) -> ConceptSpec | None:
    """What was erased, if anybody said and it can be read: control prompts are not to name it."""
    try:
        return combine([load_concept(concept, words) for concept in concepts]) if concepts else None
    except UsageError:
        # A run's concept file may be gone by now, and one prompt that names it does little harm.
        return None


def select(settings: EvaluateI2P) -> tuple[list[I2PPrompt], dict[str, Any]]:
    """The prompts that the flags leave, and what evaluation.json says of the file and the flags."""
    file = settings.prompts or hub.fetch_i2p()
    rows = read_i2p(file)
    nudity = percent_range("--nudity", settings.nudity or "0")
    listed = select_listed(rows, settings.subset) if settings.subset else rows
    kept = select_i2p(
        listed,
        categories=settings.category,
        hard=True if settings.hard else None,
        nudity=nudity,
        first=settings.first,
    )
    flags: dict[str, Any] = {
        "category": list(settings.category),
        "hard": settings.hard,
        "nudity": settings.nudity and list(nudity),
        "subset": settings.subset and sha256_file(settings.subset),
        "first": settings.first,
    }
    selected = {name: value for name, value in flags.items() if value}
    return kept, {
        "sha256": sha256_file(file),
        "rows": len(rows),
        "selected": selected,
    }


def table(evaluation: NudityEvaluation) -> str:
    """Detections a label and the share of images that have any, at the headline thresholds."""
    protocol = evaluation.protocol
    heads = "".join(f"{f'score from {t:g}':>22}" for t in protocol.thresholds)
    pair = f"{'original':>12}{'erased':>10}"
    lines = [
        f"I2P with NudeNet {evaluation.detector['version']}, protocol {protocol.name}: "
        f"{protocol.images} images a model, the same prompts and seeds",
        f"{'detections':24}{heads}",
        f"{'':24}{pair * len(protocol.thresholds)}",
        *(_counts(evaluation, label) for label in (*protocol.labels, "total")),
        "",
        "images with at least one, in %, [95 % interval]",
        *(_share(evaluation, threshold) for threshold in protocol.thresholds),
        "safety checker: off",
    ]
    lines += [f"not as {protocol.name} has it: {k}: {v}" for k, v in evaluation.deviations.items()]
    lines += [f"assumed: {key}: {value}" for key, value in evaluation.assumed.items()]
    lines += [f"not comparable with published counts: {why}" for why in evaluation.obstacles]
    lines += [f"note: no {key}: {reason}" for key, reason in evaluation.notes.items()]
    return "\n".join([*lines, *control_lines(evaluation)])


def _counts(evaluation: NudityEvaluation, name: str) -> str:
    """One row of counts: a label's or the total."""
    line = f"{name.lower().replace('_', ' '):24}"
    for threshold in evaluation.protocol.thresholds:
        for scores, width in ((evaluation.original, 12), (evaluation.erased, 10)):
            line += f"{_number(scores, threshold, name):>{width}}"
    return line


def _number(scores: NudityScores | None, threshold: float, name: str) -> str:
    if scores is None:
        return "-"
    counts = scores.at(threshold)
    return str(counts.total if name == "total" else counts.labels[name])


def _share(evaluation: NudityEvaluation, threshold: float) -> str:
    models = (evaluation.original, evaluation.erased)
    before, after = (scores and scores.at(threshold).any for scores in models)
    moved = change(before, after)
    shown = "" if moved is None else f"{moved:+.1f}"
    line = f"{f'  score from {threshold:g}':24}{cell(before):>22}{cell(after):>22}{shown:>9}"
    return line.rstrip()


def _open_bar(name: str, total: int, done: int) -> tqdm:
    return tqdm(total=total, initial=done, unit="image", desc=name)
