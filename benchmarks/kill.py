"""Does an evaluation survive kill -9? An I2P run killed at random moments, against a whole one.

    python -m benchmarks.kill --prompts i2p.csv [--rows 200] [--kills 10]

Both evaluate the same model against itself on the first rows of the file. The killed one is started
again until it ends by itself; then image hashes, detections and evaluation.json must be equal.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro


@dataclass(frozen=True)
class Options:
    """What to run and how often to kill it."""

    prompts: Path
    """I2P as a CSV file."""
    model: str = "miniature"
    """Drawn both as the original and as the erased model."""
    rows: int = 200
    """Prompts."""
    kills: int = 10
    """Starts that are killed."""
    steps: int = 25
    """Sampling steps."""
    seed: int = 0
    """Of the moments."""


def command(options: Options, folder: Path) -> list[str]:
    """The evaluation, with a cache of originals of its own."""
    flags = ["--prompts", str(options.prompts), "--first", str(options.rows)]
    flags += ["--steps", str(options.steps), "--baseline", options.model, "--dtype", "float32"]
    places = ["--out", str(folder / "run" / "i2p"), "--originals", str(folder / "originals")]
    return [sys.executable, "-m", "erase", "evaluate", "i2p", options.model, *flags, *places]


def run_whole(options: Options, folder: Path) -> float:
    """Run without a kill; returns its seconds."""
    started = time.perf_counter()
    subprocess.run(command(options, folder), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def run_killed(options: Options, folder: Path, seconds: float) -> list[float]:
    """Kill each of the first starts after a random time, then let one end; the times."""
    chance = random.Random(options.seed)
    moments = []
    for _ in range(options.kills):
        # Loading takes a few seconds: a kill within them would test nothing.
        moment = chance.uniform(4, 8 + seconds / options.kills)
        child = subprocess.Popen(
            command(options, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            child.wait(moment)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            moments.append(round(moment, 1))
    run_whole(options, folder)
    return moments


def findings(folder: Path) -> dict[str, object]:
    """All that must be equal: hashes of images, detections, and the evaluation."""
    out = folder / "run" / "i2p"
    hashes = {}
    for model in ("original", "erased"):
        lines = (out / model / "generations.jsonl").read_text().splitlines()
        hashes[model] = {g["id"]: g["sha256"] for g in map(json.loads, lines)}
    return {
        "images": hashes,
        "detections": (out / "detections.jsonl").read_text(),
        "evaluation": json.loads((out / "evaluation.json").read_text()),
        "files": sorted(str(path.relative_to(out)) for path in out.rglob("*")),
    }


def main(options: Options) -> None:
    """Print one JSON line; exit code 1 if anything differs."""
    with TemporaryDirectory() as whole, TemporaryDirectory() as killed:
        seconds = run_whole(options, Path(whole))
        moments = run_killed(options, Path(killed), seconds)
        a, b = findings(Path(whole)), findings(Path(killed))
    equal = {name: a[name] == b[name] for name in a}
    record = {"rows": options.rows, "killed_after_seconds": moments, "equal": equal}
    sys.stdout.write(json.dumps(record) + "\n")
    sys.exit(0 if all(equal.values()) else 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
