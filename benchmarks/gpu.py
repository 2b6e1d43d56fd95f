"""What a GPU makes of erasing: mask, training, an attack and drawing beside the bare UNet's passes.

    python -m benchmarks.gpu --size sd15 sdxl --out runs/bench

Needs no hub: models are built from their configs with random weights. `bare` are the passes of the
UNet that nothing can do without, in the same rows and types; `official` is the structure of
benchmarks/reference.py, for drawing one prompt at a time. `compiled`, `channels-last` and
`recomputed` (gradient checkpointing) are other ways to make the same passes. The quickest of the
warm rounds counts. Each row is measured in a process of its own, but for those of `tiny`, and
written at once: the same command goes on, and measures again only what failed. Results are kept by
the card's name.

`--device cpu --size tiny` runs all of it in some seconds, to see that it runs.
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from tqdm import tqdm

from benchmarks.apart import last_json
from benchmarks.clock import forget_peak, peak_gb
from benchmarks.gpu_parts import (
    Timed,
    time_attack,
    time_attack_passes,
    time_images,
    time_mask,
    time_mask_passes,
    time_mask_reference,
    time_passes_of_drawing,
    time_plain_loop,
    time_sets,
)
from benchmarks.gpu_rows import CARDS, TINY, Part, Row, Size, rows_of
from benchmarks.gpu_table import to_markdown
from benchmarks.machine import device_name
from benchmarks.training_steps import Case, time_ours, time_passes, time_reference
from erase.models.devices import resolve_device, settle_cuda
from plumbing.whole_files import replace_file

Found = dict[str, dict[str, Any]]
"""What was measured, by the row's key."""


@dataclass(frozen=True)
class Options:
    """Flags."""

    size: tuple[Size, ...] = ("sd15", "sdxl")
    """Stable Diffusion 1.5, SDXL (of which cross-attention is trained), or a tiny one of either."""
    parts: tuple[Part, ...] = ("training", "mask", "attack", "drawing")
    """What is timed."""
    device: str = "auto"
    """As `expunge erase --device`."""
    images: int | None = None
    """Images of either set in a step, and in other batches: by default 8 of SD 1.5, 2 of the
    others."""
    rounds: int = 6
    """Steps or batches of each row, at least 2, for the first one is for warming up."""
    sampling: int = 50
    """Sampling steps of drawing; of the tiny model 2."""
    compiled: bool | None = None
    """Whether compiled rows are measured: by default on a GPU; on a CPU compiling takes minutes."""
    out: Path = Path("runs/bench")
    """Folder of the results."""
    row: str | None = None
    """Measure the row of this key alone, here, and print its JSON."""


def main(options: Options) -> None:
    """Measure what is not there yet; print, and write gpu-CARD.json and gpu-CARD.md."""
    device = resolve_device(options.device)
    rows = _rows(options, device)
    if options.row:
        (row,) = (row for row in rows if row.key == options.row)
        print(json.dumps(measured(row, options, device)))
        return
    name = f"gpu-{re.sub(r'[^A-Za-z0-9]+', '-', device_name(device)).strip('-')}"
    file = options.out / f"{name}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    found: Found = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for row in tqdm([r for r in rows if "seconds" not in found.get(r.key, {})], unit="row"):
        found[row.key] = _apart(row, options, device)
        replace_file(file, (json.dumps(found, indent=2) + "\n").encode())
    markdown = to_markdown(found)
    replace_file(options.out / f"{name}.md", markdown.encode())
    sys.stdout.write(markdown)


def _rows(options: Options, device: torch.device) -> list[Row]:
    told = device.type == "cuda" if options.compiled is None else options.compiled
    rows = [row for size in options.size for row in rows_of(size, options.images)]
    return [r for r in rows if r.part in options.parts and (told or r.form != "compiled")]


def _apart(row: Row, options: Options, device: torch.device) -> dict[str, Any]:
    """A row, measured in a process of its own unless it is of the tiny model."""
    if row.size in TINY:
        return measured(row, options, device)
    own = {"size": row.size, "device": device, "images": options.images, "row": row.key}
    own |= {"compiled": options.compiled, "rounds": options.rounds}
    try:
        return last_json("benchmarks.gpu", own | {"sampling": options.sampling})
    except Exception as error:  # what keeps one row from ending keeps no other from it
        return asdict(row) | {"error": str(error)}


def measured(row: Row, options: Options, device: torch.device) -> dict[str, Any]:
    """A row with what was found, or with the error that kept it from being found."""
    forget_peak(device)
    told = asdict(row) | {
        "device": device_name(device),
        "torch": torch.__version__,
        "sampling": _sampling(row, options),
    }
    try:
        timed = time_row(row, options, device)
        each = min(timed.seconds)
    except Exception as error:  # of a card that is too small, or a torch that cannot compile
        return told | {"error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
    return told | {
        "at_once": timed.images,
        "seconds": round(each, 5),
        "all": [round(seconds, 5) for seconds in timed.seconds],
        "images_a_second": round(timed.images / each, 3),
        "peak_gb": round(peak_gb(device), 3),
        "how": timed.how,
    }


def _sampling(row: Row, options: Options) -> int | None:
    if row.part != "drawing":
        return None
    return 2 if row.size in TINY else options.sampling


def time_row(row: Row, options: Options, device: torch.device) -> Timed:
    """Time a row here; what is not ours by the kernels that torch takes of its own accord."""
    with as_torch_comes() if row.way == "official" else nullcontext():
        return _time_row(row, options, device)


@contextmanager
def as_torch_comes() -> Iterator[None]:
    """Convolutions in float32 round to TF32, by whatever kernels are quick; not so afterwards."""
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = True, False
    try:
        yield
    finally:
        settle_cuda()


def _time_row(row: Row, options: Options, device: torch.device) -> Timed:
    free = CARDS.get((row.size, row.form))
    case = Case(
        size=row.size,
        rows=row.images,
        steps=options.rounds,
        dtype=getattr(torch, row.dtype),
        device=device,
        train_method=row.train_method,
        form=row.passes,
        free=free,
    )
    sampling = _sampling(row, options)
    if sampling:
        drawn = {"bare": time_passes_of_drawing, "sets": time_sets, "images": time_images}
        return drawn.get(row.way, time_plain_loop)(case, sampling)
    if row.part == "training":
        return _training(row, case)
    other = {
        ("mask", "bare"): time_mask_passes,
        ("mask", "ours"): time_mask,
        ("mask", "official"): time_mask_reference,
        ("attack", "bare"): time_attack_passes,
        ("attack", "ours"): time_attack,
    }
    return other[row.part, row.way](case)


def _training(row: Row, case: Case) -> Timed:
    """A round is a step, of as many images of the other set again."""
    if row.way == "bare":
        return Timed(row.images, time_passes(case))
    if row.way == "official":
        return Timed(row.images, time_reference(case))
    seconds, plan = time_ours(case)
    return Timed(row.images, seconds, plan.describe())


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
