"""One process with every core, or one process a core? An erasure of the miniature either way.

    python -m benchmarks.processes --out runs/bench

The same erasure, from nothing, by one process of two threads and by two processes of one thread
each (torchrun, as `accelerate launch` does on GPUs). Seconds of each stage.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, write_results
from erase.run import read_run

STAGES = ("sets", "mask", "train")


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    images: int = 64
    """Images in either set."""
    steps: int = 20
    """Training steps."""


def main(options: Options) -> None:
    """Run both; print, and write processes.json and processes.md."""
    found = {
        "one process, two threads": _erase(options, "one", [], threads=2),
        "two processes, one thread each": _erase(
            options, "two", ["torch.distributed.run", "--nproc_per_node", "2", "-m"], threads=1
        ),
    }
    rows = [[name, *(f"{s[stage]:.1f}" for stage in STAGES)] for name, s in found.items()]
    one, two = found.values()
    rows.append(["ratio", *(f"{one[stage] / two[stage]:.2f}" for stage in STAGES)])
    markdown = table(["seconds", *STAGES], rows)
    write_results(options, "processes", {"seconds": found}, markdown)
    sys.stdout.write(markdown)


def _erase(options: Options, name: str, launcher: list[str], *, threads: int) -> dict[str, Any]:
    out = Path(options.out) / "processes" / name
    words = [sys.executable, "-m", *launcher, "erase", "erase", "church", "--overwrite"]
    words += ["--model", options.model, "--out", str(out), "--steps", str(options.steps)]
    words += ["--forget-images", str(options.images), "--retain-images", str(options.images)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
    return read_run(out)["seconds"]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
