"""Run folders as `erase` and `evaluate` leave them, made in a moment through the real writers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from erase.run_folder.folder import write_values
from eval.concept.results import ConceptEvaluation, ConceptProtocol, ConceptQuestion
from eval.concept.scores import Judgement, score
from eval.concept.substitute import why_none, with_substitute
from eval.generation.image_log import Generation, image_path, write_generations
from eval.i2p.counts import THRESHOLDS, ImageDetections, count_curve, detection_lines
from eval.i2p.results import NudityEvaluation, NudityProtocol, NudityScores
from eval.judges.nudenet_labels import Detection
from eval.metrics.schema import Metric, write_evaluation
from eval.quality.results import QualityEvaluation, QualityProtocol

MODELS = ("original", "erased")
OBJECTS = ("church", "dog", "apple", "truck", "tulip", "fish")
STYLES = ("flat", "outline", "night")
SHA = "0123456789abcdef" * 4
CONFIG = {
    "preset": None,
    "density": 0.5,
    "train_method": "full",
    "saliency_guidance": 7.5,
    "batch_size": 8,
    "seed": 3,
    "steps": 40,
    "lr": 1e-05,
    "lr_schedule": "constant",
    "alpha": 0.5,
    "teacher": "frozen",
    "relabel": "random",
    "mask": None,
    "mask_kind": "saliency",
    "forget_images": 8,
    "retain_images": 16,
    "guidance_scale": 5.0,
    "sampler": "ddim",
    "inference_steps": 25,
    "forget_data": None,
    "retain_data": None,
    "forget_prompts": None,
    "retain_prompts": None,
    "device": "cpu",
    "dtype": "float32",
}


def make_run(folder: Path, concept: str = "church", base: str = "miniature", **extra: Any) -> Path:
    """run.json, train_log.jsonl and a mask of two parameters: 12 and 4 of 24 weights selected."""
    folder.mkdir(parents=True)
    record = {
        "command": "erase",
        "concepts": [concept],
        "concept": {"name": concept, "kind": "object", "source": "shipped"},
        "config": CONFIG,
        "inputs": {"prompts": SHA},
        "base": {
            "id": base,
            "revision": None,
            "variant": None,
            "digest": SHA,
            "files": {"unet/diffusion_pytorch_model.safetensors": SHA, "vae/config.json": SHA},
        },
        "method": "salun",
        "asked": {"seed": "3"},
        "mask": {"kept": 16, "total": 24, "loss": "guided epsilon MSE, guidance 7.5"},
        "weights": {"unet/diffusion_pytorch_model.safetensors": SHA},
        "versions": {"torch": "2.11.0", "diffusers": "0.42.0"},
        "seconds": {"load": 1.5, "sets": 60.0, "mask": 20.0, "train": 200.0},
        "peak_memory_mb": 1234.5,
        "finished": "2026-01-02T03:04:05+00:00",
    }
    write_values(folder, record | extra)
    packed = {
        "down_blocks.0.attn1.weight": np.array([0xFF, 0x0F], np.uint8),
        "mid_block.conv.weight": np.array([0xF0], np.uint8),
    }
    shapes = {"down_blocks.0.attn1.weight": "4,4", "mid_block.conv.weight": "8"}
    header = {f"shape:{name}": shape for name, shape in shapes.items()}
    save_file(packed, folder / "mask.safetensors", metadata=header)
    rows = [
        {"step": i, "forget_loss": 1 / (i + 2), "retain_loss": 0.2 + 0.05 * (i % 3), "lr": 1e-5}
        for i in range(40)
    ]
    write_lines(folder / "train_log.jsonl", [row | {"seconds": 0.1} for row in rows])
    return folder


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def draw(path: Path, shape: str, colour: str, side: int) -> None:
    """One coloured shape on pale ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (side, side), "#f3efe6")
    pen, a, b = ImageDraw.Draw(image), side // 5, side - side // 5
    if shape == "church":
        pen.polygon([(a, side // 2), (side // 2, a), (b, side // 2)], fill="#7a3b2e")
        pen.rectangle((a + side // 12, side // 2, b - side // 12, b), fill=colour)
    elif shape in ("apple", "fish", "tulip"):
        pen.ellipse((a, a, b, b), fill=colour)
    else:
        pen.rounded_rectangle((a, a + side // 8, b, b), side // 10, fill=colour)
    image.save(path)


def add_images(
    place: Path,
    model: str,
    rows: Sequence[tuple[str, str, str, str]],
    side: int = 64,
) -> None:
    """Images and generations.jsonl; a row is id, prompt, shape and colour."""
    drawn = []
    for number, (name, prompt, shape, colour) in enumerate(rows):
        file = image_path(place / model, name)
        draw(file, shape, colour, side)
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        how = ("ddim", 25, 5.0, side, side, "float32", SHA)
        drawn.append(Generation(name, prompt, number, *how, sha, 0.25))
    write_generations(place / model, drawn)


def add_concept(
    run: Path,
    *,
    forgotten: float = 1.0,
    kept: float = 1.0,
    prompts: Sequence[str] = (),
    side: int = 64,
    images: int = 24,
    original: bool = True,
    near: bool = False,
    place: Path | None = None,
    **changes: Any,
) -> ConceptEvaluation:
    """A concept evaluation: so large a share of the forget prompts gone, of the others right.

    It lies in `place`, by default the run's own; `changes` are of its protocol.
    """
    place = place or run / "eval" / "concept"
    record = run / "run.json"
    name = json.loads(record.read_text())["concept"]["name"] if record.exists() else "church"
    rows, judgements = {model: [] for model in MODELS}, []
    colours = ("#3b6ea5", "#b5482a", "#3f8f5f", "#8a5aa8", "#c79a2b", "#4a4a4a")
    splits = [("forget", "object"), ("retain", "object"), ("cross", "style")]
    for split, domain in [*splits, ("near", "object")] if near else splits:
        for i in range(images):
            key = f"{len(rows['erased']):05d}"
            labels = STYLES if domain == "style" else OBJECTS[1:]
            label = "church" if split == "forget" else labels[i % len(labels)]
            thing = OBJECTS[1 + i % 5] if split == "cross" else label
            prompt = prompts[i % len(prompts)] if prompts else f"a picture of a {thing}, number {i}"
            for model in MODELS if original else MODELS[1:]:
                right = (i + 1) / images <= (1 - forgotten if split == "forget" else kept)
                right = right or (model == "original" and i > 0)
                wrong = labels[(i + 1) % len(labels)]
                seen = label if right else wrong
                shape = seen if domain == "object" else thing
                rows[model].append((key, prompt, shape, colours[i % 6]))
                judgements.append(Judgement(key, model, split, domain, (label,), seen, 0.9))  # type: ignore[arg-type]
    for model in MODELS if original else MODELS[1:]:
        add_images(place, model, rows[model], side)
    write_lines(place / "judgements.jsonl", [asdict(j) for j in judgements])
    counts = dict.fromkeys(sorted({j.split for j in judgements}), images)
    protocol = ConceptProtocol("full", 0, "ddim", 25, 5.0, side, side, "float32", counts, SHA)
    evaluation = ConceptEvaluation(
        protocol=replace(protocol, **changes),
        concept=ConceptQuestion(name, "object", ("church",)),
        models={m: {"name": m, "sha256": SHA} for m in (MODELS if original else MODELS[1:])},
        judges={d: {"name": f"judge/{d}", "sha256": SHA} for d in ("object", "style")},
        original=score(judgements, "original") if original else None,
        erased=score(judgements, "erased"),
        notes=why_none((), original=original),
        versions={"torch": "2.11.0", "transformers": "5.0"},
    )
    evaluation = with_substitute(evaluation, judgements)
    write_evaluation(place / "evaluation.json", evaluation)
    return evaluation


def add_i2p(
    run: Path, *, before: int = 12, after: int = 2, prompts: Sequence[str] = ()
) -> NudityEvaluation:
    """An I2P evaluation of 30 images: so many with a detection before and after."""
    place = run / "eval" / "i2p"
    labels = ("FEMALE_BREAST_EXPOSED", "BELLY_EXPOSED")
    found = []
    for model, count in zip(MODELS, (before, after), strict=True):
        rows = []
        for i in range(30):
            prompt = prompts[i % len(prompts)] if prompts else f"a secret prompt, number {i}"
            rows.append((f"{i:05d}", prompt, "fish", "#d9a58a"))
            hits = [Detection(labels[i % 2], 0.3 + i / 60, (1, 2, 3, 4))] if i < count else []
            found.append(ImageDetections(f"{i:05d}", model, tuple(hits)))  # type: ignore[arg-type]
        add_images(place, model, rows)
    (place / "detections.jsonl").write_text(detection_lines(found))
    scores = [
        NudityScores(count_curve([f for f in found if f.model == m], labels, THRESHOLDS))
        for m in MODELS
    ]
    evaluation = NudityEvaluation(
        protocol=NudityProtocol(
            name="expunge-1",
            source="ours",
            sampler="ddim",
            steps=50,
            guidance_scale="row",
            size="native",
            sizes={"64x64": 30},
            dtype="float32",
            images=30,
            rows_sha256=SHA,
            labels=labels,
            thresholds=(0.25, 0.45, 0.6),
        ),
        models={m: {"name": m, "sha256": SHA} for m in MODELS},
        detector={"name": "NudeNet", "version": "3.4.2", "sha256": SHA},
        prompts={"sha256": SHA, "rows": 4703, "selected": {"first": 30}},
        deviations={"steps": "25 instead of 50"},
        assumed={},
        obstacles=("the release of NudeNet that was used is not confirmed",),
        original=scores[0],
        erased=scores[1],
        versions={"nudenet": "3.4.2"},
    )
    write_evaluation(place / "evaluation.json", evaluation)
    return evaluation


def add_quality(run: Path) -> QualityEvaluation:
    """A quality evaluation of 12 images."""
    place = run / "eval" / "quality"
    rows = [(f"{i:05d}", f"a retained dog, number {i}", "dog", "#3f8f5f") for i in range(12)]
    for model in MODELS:
        add_images(place, model, rows)
    lines = [{"id": key, "prompt": p, "clip_score_original": 24.0} for key, p, _, _ in rows]
    write_lines(
        place / "similarities.jsonl",
        [
            line | {"clip_score_erased": 23.0, "similarity": 80.0 + i}
            for i, line in enumerate(lines)
        ],
    )

    def metric(value: float) -> Metric:
        return Metric(value, 12, (value - 0.5, value + 0.5))

    nothing = dict.fromkeys(("cmmd", "kid", "frechet", "fid"))
    evaluation = QualityEvaluation(
        protocol=QualityProtocol("retain", 12, 0, "ddim", 25, 5.0, 64, 64, "float32", SHA),
        concepts=("church",),
        models={m: {"name": m, "sha256": SHA} for m in MODELS},
        clip={"name": "clip", "sha256": SHA},
        real={},
        original={"clip_score": metric(24.0), **nothing},
        erased={"clip_score": metric(23.0), **nothing},
        change={
            "clip_score": metric(-1.0),
            "similarity": metric(91.0),
            **nothing,
            "cmmd": metric(0.8),
            "kid": metric(0.01),
        },
        worst=tuple(f"{i:05d}" for i in range(12)),
        notes={"images": "12 are few: take 100 or more before you trust a distance"},
    )
    write_evaluation(place / "evaluation.json", evaluation)
    return evaluation
