"""Is a seed's image the same whatever the batch size, the threads, and the number of processes?

    python -m benchmarks.determinism [--rows 64] [--model miniature]

Draws the same rows again and again on the CPU; prints one JSON line a dtype: how many images differ
from those of batches of 16, in one process with all its threads, and the largest difference of a
pixel in steps of 1/255. The processes of `accelerate launch` have one thread each, so that the line
also compares them with one process of one thread. Exit code 1 if the same setting draws otherwise.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image

from erase.models.checkpoint import load_checkpoint
from erase.models.companions import vocabulary
from erase.models.locate import locate, native_size
from eval.generation.generate import Drawing, generate
from eval.generation.image_log import image_path, read_generations
from plumbing.processes import current_team
from prompts.concept import load_concept
from prompts.evaluation_rows import PromptRow, concept_rows

BATCH_SIZE = 16
"""Of `expunge evaluate`; what the others are compared with."""
BF16 = ("avx512_bf16", "amx_bf16")
"""Instructions that bfloat16 may go through, and round otherwise without."""


@dataclass(frozen=True)
class Options:
    """What to draw."""

    model: str = "miniature"
    """The model, as `expunge evaluate` takes it."""
    rows: int = 64
    """Images a drawing, spread over the prompts that measure the concept `church`."""
    steps: int = 25
    """Sampling steps."""
    processes: int = 2
    """Processes that share a drawing."""
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    """A line each."""
    share: Path | None = None
    """For the benchmark's own processes: the folder that they draw into."""


def choose_rows(options: Options) -> list[PromptRow]:
    """Forget, retained and cross prompts, plain and styled; a row's seed is that of `evaluate`."""
    words = vocabulary(locate(options.model))
    rows = concept_rows(load_concept("church", words), words, "full")
    return rows[:: max(1, len(rows) // options.rows)][: options.rows]


def load(options: Options, dtype: str) -> Any:
    """The pipeline that draws."""
    return load_checkpoint(options.model, device="cpu", dtype=dtype).pipeline("ddim")


def draw(pipeline: Any, options: Options, out: Path, batch_size: int = BATCH_SIZE) -> Path:
    """Draw every row under `out`, or this process's share; returns `out`."""
    dtype = str(pipeline.dtype)[6:]
    drawing = Drawing("ddim", options.steps, 5.0, native_size(locate(options.model)), dtype)
    rows, team = choose_rows(options), current_team()
    generate(pipeline, rows, out, drawing, model_hash="", batch_size=batch_size, team=team)
    return out


def draw_shared(options: Options, dtype: str, out: Path) -> Path:
    """Draw every row under `out` by several processes of `accelerate launch`; returns `out`."""
    launch = ["accelerate.commands.launch", "--cpu", "--num_processes", str(options.processes)]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    flags = ["--model", options.model, "--rows", str(options.rows), "--steps", str(options.steps)]
    flags += ["--dtypes", dtype, "--share", str(out)]
    subprocess.run(
        [sys.executable, "-m", *launch, "--module", "benchmarks.determinism", *flags],
        check=True,
        stdout=subprocess.DEVNULL,
        # What accelerate chooses on two cores; left to it, it would differ between machines.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return out


def compare(a: Path, b: Path) -> dict[str, int]:
    """How many PNGs of the same row have other hashes, and how far their pixels are apart."""
    ours, others = read_generations(a), read_generations(b)
    differing = [key for key in ours if ours[key].sha256 != others[key].sha256]
    apart = [_pixels(a, key) - _pixels(b, key) for key in differing]
    furthest = max((int(np.abs(pixels).max()) for pixels in apart), default=0)
    return {"images": len(differing), "max_255ths": furthest}


def _pixels(out: Path, row_id: str) -> np.ndarray:
    with Image.open(image_path(out, row_id)) as image:
        return np.asarray(image).astype(int)


def measure(options: Options, dtype: str, folder: Path) -> dict[str, Any]:
    """Draw in every way and compare; the JSON line of one dtype."""
    pipeline, threads = load(options, dtype), torch.get_num_threads()
    base = draw(pipeline, options, folder / "base")
    ways = {"same_again": draw(pipeline, options, folder / "again")}
    for size in (1, 5):
        ways[f"batch_{size}"] = draw(pipeline, options, folder / f"batch{size}", size)
    shared = f"{options.processes}_processes"
    ways[shared] = draw_shared(options, dtype, folder / "shared")
    torch.set_num_threads(1)
    ways["1_thread"] = draw(pipeline, options, folder / "thread")
    torch.set_num_threads(threads)
    known = torch.cpu.get_capabilities()
    return {
        "dtype": dtype,
        "rows": len(read_generations(base)),
        "differs_from_batch_16": {way: compare(base, out) for way, out in ways.items()},
        f"{shared}_differs_from_1_thread": compare(ways["1_thread"], ways[shared]),
        "threads": threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "bf16_instructions": [name for name in BF16 if known.get(name)],
        "torch": torch.__version__,
    }


def main(options: Options) -> None:
    """Print one JSON line a dtype; exit code 1 if drawing the same again differs."""
    if options.share:
        draw(load(options, options.dtypes[0]), options, options.share)
        return
    equal = True
    for dtype in options.dtypes:
        with TemporaryDirectory() as folder:
            record = measure(options, dtype, Path(folder))
        sys.stdout.write(json.dumps(record) + "\n")
        equal &= record["differs_from_batch_16"]["same_again"]["images"] == 0
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
