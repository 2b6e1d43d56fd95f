"""Does a long-lived process leak? Many short erasures in one; memory, tensors, files, threads.

    python -m benchmarks.soak [--erasures 200]

Resident memory after the last may be 5 % above that after the tenth, when all that is loaded once
is there; tensors, open files and threads may not be more.
"""

import contextlib
import gc
import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch
import tyro

from expunge.cli import main as expunge

WARM = 10
GROWTH = 1.05


@dataclass(frozen=True)
class Options:
    """What to erase, and how often."""

    erasures: int = 200
    """Erasures of two steps."""
    model: str = "miniature"
    """The model to erase from."""
    images: int = 2
    """Images of either set, each drawn in one step."""


@dataclass(frozen=True)
class Usage:
    """What the process has after so many erasures."""

    erasures: int
    resident_mb: float
    open_files: int
    descriptors: int
    threads: int
    tensors: int
    """That Python holds, whatever their size."""


def soak(options: Options) -> Iterator[Usage]:
    """Erase again and again, each time in a new folder; what is in use after each."""
    process, images = psutil.Process(), str(options.images)
    for number in range(1, options.erasures + 1):
        with TemporaryDirectory() as name:
            words = ["erase", "church", "--model", options.model, "--out", f"{name}/run"]
            words += ["--forget-images", images, "--retain-images", images, "--steps", "2"]
            words += ["--inference-steps", "1", "--batch-size", "2", "--seed", str(number)]
            complaint = io.StringIO()
            # Tables and bars would fill the terminal.
            with contextlib.redirect_stdout(complaint), contextlib.redirect_stderr(complaint):
                code = expunge(words)
            if code:
                raise RuntimeError(complaint.getvalue())
            shutil.rmtree(Path(name) / "run")
        # Objects that refer to each other wait for it, which comes by itself at times.
        gc.collect()
        yield Usage(
            number,
            process.memory_info().rss / 1e6,
            len(process.open_files()),
            process.num_fds() if hasattr(process, "num_fds") else 0,
            process.num_threads(),
            sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()),
        )


def leaks(warm: Usage, end: Usage) -> list[str]:
    """What has grown between two moments."""
    grown = ["memory"] if end.resident_mb > GROWTH * warm.resident_mb else []
    counts = ("open_files", "descriptors", "threads", "tensors")
    return grown + [name for name in counts if getattr(end, name) > getattr(warm, name)]


def main(options: Options) -> None:
    """Print some lines, then one JSON line; exit code 1 if anything leaks."""
    warm = end = None
    for usage in soak(options):
        warm = usage if usage.erasures <= WARM else warm
        end = usage
        if usage.erasures in (1, WARM) or usage.erasures % 20 == 0:
            sys.stdout.write(f"{json.dumps(asdict(usage))}\n")
            sys.stdout.flush()
    assert warm
    assert end
    found = leaks(warm, end)
    growth = 100 * (end.resident_mb / warm.resident_mb - 1)
    result = {"erasures": end.erasures, "growth_percent": round(growth, 2), "leaks": found}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
