"""How fast images are drawn and searched: `expunge evaluate` against a plain diffusers loop.

    python -m benchmarks.generation [--model miniature] [--images 64]

The plain loop calls the pipeline once a prompt, as model cards show it. Both draw the same prompts
and seeds in the same precision, in turns in one process; prints images a second and their ratio,
and what the nudity detector takes for an image of 512 pixels.
"""

import erase.models.pil_processors  # noqa: F401

# isort: split
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from diffusers import StableDiffusionPipeline

from benchmarks.models import make_pictures
from erase.models.checkpoint import load_checkpoint
from erase.models.companions import vocabulary
from erase.models.devices import resolve_dtype
from erase.models.locate import locate, native_size
from eval.generation.generate import Drawing, generate
from eval.judges.nudenet import load_detector
from prompts.evaluation_rows import PromptRow, retain_rows


@dataclass(frozen=True)
class Options:
    """What to time."""

    model: str = "miniature"
    """A diffusers folder, or the shipped model."""
    images: int = 64
    """Images that each way draws in a turn."""
    batch_size: int = 16
    """Of `expunge evaluate`."""
    steps: int = 25
    """Sampling steps."""
    turns: int = 3
    """The fastest counts."""
    dtype: str = "auto"
    """As `expunge evaluate --dtype`."""


def plain_loop(pipeline: Any, rows: Sequence[PromptRow], steps: int, out: Path) -> None:
    """One prompt at a time, saved as PNG."""
    for row in rows:
        seed = torch.Generator().manual_seed(row.seed)
        images = pipeline(
            row.prompt, num_inference_steps=steps, guidance_scale=5.0, generator=seed
        ).images
        images[0].save(out / f"{row.id}.png")


def time_detector(out: Path, count: int = 32) -> float:
    """Seconds an image of 512 pixels, of noise: what it shows makes no difference."""
    files = make_pictures(out, count, (512, 512))
    detector = load_detector()
    list(detector.detect(files[:2]))
    started = time.perf_counter()
    list(detector.detect(files))
    return (time.perf_counter() - started) / count


def main(options: Options) -> None:
    """Time both ways in turns and print one JSON line."""
    source = locate(options.model)
    dtype = resolve_dtype(options.dtype, torch.device("cpu"))
    name = str(dtype)[6:]
    ours = load_checkpoint(source, device="cpu", dtype=name).pipeline("ddim")
    plain = StableDiffusionPipeline.from_pretrained(source.folder, torch_dtype=dtype)
    plain.set_progress_bar_config(disable=True)
    words = vocabulary(source)
    objects = words.objects if words else ("church", "dog", "house")
    prompts = [f"an image of a {objects[i % len(objects)]}" for i in range(options.images)]
    rows = retain_rows(prompts)
    drawing = Drawing("ddim", options.steps, 5.0, native_size(source), name)
    best = {"plain": float("inf"), "expunge": float("inf")}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(options.turns):
            started = time.perf_counter()
            plain_loop(plain, rows, options.steps, Path(folder))
            middle = time.perf_counter()
            out = Path(folder) / str(turn)
            generate(ours, rows, out, drawing, model_hash="", batch_size=options.batch_size)
            ended = time.perf_counter()
            best["plain"] = min(best["plain"], middle - started)
            best["expunge"] = min(best["expunge"], ended - middle)
        detector = time_detector(Path(folder))
    record = {
        "images_a_second": {way: round(len(rows) / s, 2) for way, s in best.items()},
        "ratio": round(best["plain"] / best["expunge"], 2),
        "detector_seconds_an_image_512": round(detector, 3),
        "dtype": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
