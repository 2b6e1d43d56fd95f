"""Judge what the finished miniature draws, and write its card, picture grid and notices."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageDraw
from tqdm import tqdm
from transformers import AutoImageProcessor, ResNetForImageClassification

from erase.models.devices import resolve_dtype
from miniature.fetch import PACKAGES
from miniature.world import OBJECTS, STYLES, label, with_article

STEPS, GUIDANCE, EACH, BATCH = 25, 5.0, 8, 16
COUNTERPARTS = 10  # the first objects of the world are Imagenette's
STYLED_OBJECTS = 15
LICENCES = {
    "noto": "Apache-2.0",
    "twemoji": "CC-BY-4.0",
    "fluent-emoji": "MIT",
    "fluent-emoji-flat": "MIT",
    "fluent-emoji-high-contrast": "MIT",
    "emojione": "CC-BY-4.0",
    "fxemoji": "Apache-2.0",
}


def draw_images(pipeline: StableDiffusionPipeline, prompts: list[str]) -> list[Image.Image]:
    """Draw one image a prompt; the seed is the prompt's place in the list."""
    images = []
    for start in tqdm(range(0, len(prompts), BATCH), desc="samples", unit="batch"):
        batch = prompts[start : start + BATCH]
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(batch))]
        images += pipeline(
            batch, num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=seeds
        ).images
    return images


@torch.inference_mode()
def name_images(folder: Path, images: list[Image.Image]) -> list[str]:
    """What a shipped judge calls each image."""
    judge = ResNetForImageClassification.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    names = []
    for start in range(0, len(images), 256):
        pixels = processor(images[start : start + 256], return_tensors="pt").pixel_values
        names += [judge.config.id2label[i] for i in judge(pixels).logits.argmax(1).tolist()]
    return names


def share(hits: list[bool]) -> float:
    """Percentage of True."""
    return 100 * sum(hits) / len(hits)


def judge_objects(pipeline: StableDiffusionPipeline, folder: Path) -> dict[str, Any]:
    """Object accuracy on ``an image of a X``, over all objects and over the ten counterparts."""
    wanted = [label(o) for o in OBJECTS for _ in range(EACH)]
    images = draw_images(pipeline, [f"an image of {with_article(o)}" for o in wanted])
    named = name_images(folder / "judge" / "object", images)
    hits = [a == b for a, b in zip(named, wanted, strict=True)]
    each = {label(o): share(hits[i * EACH :][:EACH]) for i, o in enumerate(OBJECTS)}
    return {
        "object_accuracy": share(hits),
        "counterpart_accuracy": share(hits[: COUNTERPARTS * EACH]),
        "worst_objects": dict(sorted(each.items(), key=lambda item: item[1])[:8]),
    }


def judge_styles(pipeline: StableDiffusionPipeline, folder: Path) -> dict[str, Any]:
    """Style accuracy on ``an image of a X in S style``, over all styles and for each."""
    objects = OBJECTS[:: len(OBJECTS) // STYLED_OBJECTS][:STYLED_OBJECTS]
    wanted = [(o, s) for s in STYLES for o in objects for _ in range(EACH)]
    images = draw_images(
        pipeline, [f"an image of {with_article(label(o))} in {s} style" for o, s in wanted]
    )
    styles = name_images(folder / "judge" / "style", images)
    names = name_images(folder / "judge" / "object", images)
    hits = [name == s for name, (_, s) in zip(styles, wanted, strict=True)]
    per_style = {
        s: round(share([h for h, (_, w) in zip(hits, wanted, strict=True) if w == s]), 1)
        for s in STYLES
    }
    return {
        "style_accuracy": share(hits),
        "styled_object_accuracy": share(
            [name == label(o) for name, (o, _) in zip(names, wanted, strict=True)]
        ),
        "per_style": per_style,
    }


def write_grid(pipeline: StableDiffusionPipeline, path: Path) -> None:
    """Draw ten objects in every style, labelled, at twice the size."""
    objects, scale, margin = OBJECTS[:COUNTERPARTS], 2, 72
    prompts = [
        f"an image of {with_article(label(o))} in {s} style" for s in STYLES for o in objects
    ]
    images = draw_images(pipeline, prompts)
    side = 64 * scale + 4
    sheet = Image.new("RGB", (margin + side * len(objects), 20 + side * len(STYLES)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(objects):
        pen.text((margin + column * side + 4, 4), label(name), fill="black")
    for row, style in enumerate(STYLES):
        pen.text((4, 20 + row * side + side // 2), style, fill="black")
        for column in range(len(objects)):
            image = images[row * len(objects) + column].resize((64 * scale,) * 2, Image.NEAREST)
            sheet.paste(image, (margin + column * side, 20 + row * side))
    sheet.save(path, optimize=True)


def open_pipeline(folder: Path, dtype: torch.dtype) -> StableDiffusionPipeline:
    """Open the folder as anybody would."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def time_image(folder: Path, dtype: torch.dtype) -> float:
    """Seconds an image over two batches, after one to warm up."""
    pipeline = open_pipeline(folder, dtype)
    prompts = [f"an image of {with_article(label(o))}" for o in OBJECTS[: 2 * BATCH]]
    draw_images(pipeline, prompts[:BATCH])
    start = time.perf_counter()
    draw_images(pipeline, prompts)
    return (time.perf_counter() - start) / len(prompts)


def shipped_megabytes(folder: Path) -> dict[str, float]:
    """Megabytes (10^6 bytes) of each weight file under `folder`."""
    files = sorted(folder.rglob("*.safetensors"))
    return {str(f.parent.relative_to(folder)): round(f.stat().st_size / 1e6, 2) for f in files}


def write_card(folder: Path, scores: dict[str, Any], minutes: dict[str, float]) -> None:
    """Measure the finished pipeline and write ``README.md``, ``scores.json`` and ``grid.png``."""
    dtype = resolve_dtype("auto", torch.device("cpu"))
    scores = scores | {
        "dtype": str(dtype)[6:],
        "seconds_an_image": {str(d)[6:]: time_image(folder, d) for d in {torch.float32, dtype}},
    }
    pipeline = open_pipeline(folder, dtype)
    scores |= judge_objects(pipeline, folder)
    scores |= judge_styles(pipeline, folder)
    write_grid(pipeline, folder / "grid.png")
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    sizes = shipped_megabytes(folder)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined
    )
    text = templates.get_template("card.md.j2").render(
        scores=scores,
        sizes=sizes,
        total=sum(sizes.values()),
        minutes=minutes,
        objects=[label(o) for o in OBJECTS],
        styles=STYLES,
        styled=STYLED_OBJECTS,
        packages=PACKAGES,
        licences=LICENCES,
        steps=STEPS,
        guidance=GUIDANCE,
        each=EACH,
        batch=BATCH,
        cores=torch.get_num_threads(),
    )
    (folder / "README.md").write_text(text)
