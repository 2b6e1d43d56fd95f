"""How much nudity do a model's images of I2P show? Rows to images to detections to counts."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from eval.control.collapse import look_at_control, signs
from eval.control.draw_and_remove import pass_control
from eval.generation.cost import drawing_cost
from eval.generation.evaluation_folder import refuse_other, start_folder
from eval.generation.image_log import image_path, read_generations
from eval.generation.pair import Model, ModelPair, OpenBar, draw_pair
from eval.generation.private_files import make_private, private_files
from eval.i2p.counts import THRESHOLDS, ImageDetections, count_curve, detection_lines, parse_image
from eval.i2p.judge_and_remove import judge_pair, remove_images
from eval.i2p.plan import Plan
from eval.i2p.results import (
    REMOVED,
    DrawnFrom,
    NudityEvaluation,
    NudityProtocol,
    NudityScores,
    read_nudity,
)
from eval.judges.nudenet import Detector
from eval.metrics.schema import write_evaluation
from plumbing.journal import open_journal, read_journal
from plumbing.whole_files import replace_file
from prompts.evaluation_rows import PromptRow
from prompts.prompt_file import I2PPrompt

EVALUATION, DETECTIONS = "evaluation.json", "detections.jsonl"
MODELS: tuple[Model, ...] = ("original", "erased")


def draw_and_detect(
    rows: Sequence[I2PPrompt],
    control: Sequence[PromptRow],
    plan: Plan,
    pair: ModelPair,
    detector: Detector,
    *,
    prompts: DrawnFrom,
    open_bar: OpenBar,
    overwrite: bool = False,
    keep_images: bool = True,
) -> NudityEvaluation | None:
    """Draw, detect, count; `out` gets evaluation.json, detections.jsonl and the images.

    The images are for their owner's eyes alone: other users cannot open them. Without
    `keep_images` each is removed once it is judged, and detections and hashes stay.
    `prompts` says where the rows come from. `control` is drawn, as most rows are, to tell whether
    the model draws anything at all, and counts for nothing else. The bar is of the detecting. An
    evaluation that is already in `out` is returned if it asks the same, and is a UsageError
    otherwise, unless `overwrite`. None in a process of a launch that does not lead it.
    """
    out, question = pair.out, _question(rows, plan, pair, detector, prompts)
    if (out / EVALUATION).exists() and not overwrite:
        previous = read_nudity(out / EVALUATION)
        refuse_other(out, previous.differences(question))
        return previous if keep_images else _without_images(out, previous)
    start_folder(out, pair.originals, (EVALUATION, DETECTIONS), overwrite=overwrite)
    usual = Counter(plan.drawings.values()).most_common(1)[0][0]
    with private_files():
        if keep_images:
            drawings = plan.drawings | {row.id: usual for row in control}
            if not draw_pair([*rows, *control], pair, drawings):
                return None
            make_private(out / model for model in pair.subjects)
            seen = look_at_control(control, out, paired=pair.original is not None)
            detections = _detect(
                [(row.id, m) for m in pair.subjects for row in rows], detector, out, open_bar
            )
        else:
            seen = pass_control(control, pair, usual)
            detections = judge_pair(rows, pair, plan.drawings, detector)
            if detections is None:
                return None
            replace_file(out / DETECTIONS, detection_lines(detections).encode())
            question = _noted(question)
    result = replace(
        question,
        control=seen,
        collapsed=signs(seen) if seen else None,
        original=_score(detections, "original", plan) if pair.original else None,
        erased=_score(detections, "erased", plan),
        cost=drawing_cost(out),
    )
    write_evaluation(out / EVALUATION, result)
    return result


def _without_images(out: Path, finished: NudityEvaluation) -> NudityEvaluation:
    """A finished evaluation, its images removed now."""
    for model in MODELS:
        remove_images(out / model)
    result = _noted(finished)
    write_evaluation(out / EVALUATION, result)
    return result


def _noted(evaluation: NudityEvaluation) -> NudityEvaluation:
    return replace(evaluation, notes={**evaluation.notes, "images": REMOVED})


def _question(
    rows: Sequence[I2PPrompt],
    plan: Plan,
    pair: ModelPair,
    detector: Detector,
    prompts: DrawnFrom,
) -> NudityEvaluation:
    """The evaluation before its answers."""
    drawn = [plan.drawings[row.id] for row in rows]
    lines = [[r.id, r.prompt, r.seed, asdict(d)] for r, d in zip(rows, drawn, strict=True)]
    return NudityEvaluation(
        protocol=NudityProtocol(
            name=plan.preset.name,
            source=plan.preset.source,
            sampler=plan.sampler,
            steps=plan.steps,
            guidance_scale=plan.guidance_scale,
            size=plan.size,
            sizes=dict(sorted(Counter(f"{d.size[0]}x{d.size[1]}" for d in drawn).items())),
            images=len(rows),
            rows_sha256=hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest(),
            dtype=plan.dtype,
            labels=plan.preset.labels,
            thresholds=plan.thresholds,
        ),
        models=pair.told,
        detector={k: getattr(detector, k) for k in ("name", "version", "sha256")},
        prompts=prompts,
        deviations=plan.deviations,
        assumed=plan.assumed,
        obstacles=plan.preset.obstacles,
        original=None,
        erased=None,
        notes={} if pair.original else {"original": "no baseline was given"},
        versions={k: version(k) for k in ("diffusers", "nudenet", "onnxruntime", "torch")},
    )


def _detect(
    wanted: Sequence[tuple[str, Model]],
    detector: Detector,
    out: Path,
    open_bar: OpenBar,
) -> list[ImageDetections]:
    """What is in each image (id, model), in order; `detections.jsonl` appears when all is done.

    Until then each goes to a journal named after the images' hashes and the detector's, so that
    after an interruption only the very same images count as done.
    """
    drawn = {model: read_generations(out / model) for _, model in wanted}
    key = [detector.sha256, [[i, m, drawn[m][i].sha256] for i, m in wanted]]
    stamp = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    journal = out / f".detections-{stamp}.jsonl"
    found = {(image.id, image.model): image for image in read_journal(journal, parse_image)}
    missing = [pair for pair in wanted if pair not in found]
    seen = detector.detect([image_path(out / model, name) for name, model in missing])
    with open_journal(journal) as append, open_bar(len(wanted), len(found)) as bar:
        for (name, model), detections in zip(missing, seen, strict=True):
            found[name, model] = ImageDetections(name, model, detections)
            append([asdict(found[name, model])])
            bar.update(1)
    images = [found[pair] for pair in wanted]
    replace_file(out / DETECTIONS, detection_lines(images).encode())
    for leftover in list(out.glob(".detections-*.jsonl")):
        leftover.unlink()
    return images


def _score(images: Sequence[ImageDetections], model: str, plan: Plan) -> NudityScores:
    own = [image for image in images if image.model == model]
    thresholds = sorted({*THRESHOLDS, *plan.thresholds})
    return NudityScores(count_curve(own, plan.preset.labels, thresholds))
