"""What a busy neighbour costs: drawing and training alone, and beside a process that never rests.

    python -m benchmarks.neighbour --out runs/bench

Each way of waiting is timed in a process of its own, since OpenMP reads it when torch is loaded:
`spinning` is OpenMP's default, `sleeping soon` what `expunge` settles (`plumbing/threads.py`). Of
two cores, one of which is busy, a fair share is three quarters; threads that wait for each other at
every layer get the half.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tyro

from benchmarks.common import Options, table, write_results
from plumbing.threads import SPINS

ROWS = 16
WAYS: dict[str, dict[str, str]] = {
    "spinning": {},
    "sleeping": {"OMP_WAIT_POLICY": "passive"},
    "sleeping soon": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": SPINS},
}
WORKS = ("draw", "train")


@dataclass(frozen=True)
class NeighbourOptions(Options):
    """Flags of the benchmark of neighbours."""

    seconds: float = 5.0
    """How long each is timed."""
    rounds: int = 2
    """How often; the best of each counts, since other machines share the processor."""
    threads: tuple[int, ...] = (2,)
    """Numbers of threads."""
    timed: str = ""
    """Of a process of its own: what it times and prints."""


def main(options: NeighbourOptions) -> None:
    """Time every way alone and beside a neighbour; print, and write neighbour.json and .md."""
    if options.timed:
        sys.stdout.write(json.dumps(_rate(options)))
        return
    rates: dict[tuple[str, int, str, bool], float] = {}
    for _ in range(options.rounds):
        for case in [
            (work, threads, way, beside)
            for work in WORKS
            for threads in options.threads
            for way in WAYS
            for beside in (False, True)
        ]:
            rates[case] = max(rates.get(case, 0.0), _time(options, *case))
    lines, points = [], []
    for work, threads, way, _ in dict.fromkeys((*case[:3], True) for case in rates):
        alone, beside = (rates[work, threads, way, busy] for busy in (False, True))
        label = f"{work}, {threads} threads, {way}"
        lines.append([label, f"{alone:.1f}", f"{beside:.1f}", f"{alone / beside:.2f}"])
        points.append({"work": work, "threads": threads, "way": way, "alone": alone})
        points[-1] |= {"beside": beside}
    note = f"Passes a second through the UNet of {options.model}, {ROWS} rows, float32, and beside"
    markdown = f"{note} one busy process.\n\n" + table(["", "alone", "beside", "slower"], lines)
    write_results(options, "neighbour", {"points": points}, markdown)
    sys.stdout.write(markdown)


def _time(options: NeighbourOptions, work: str, threads: int, way: str, beside: bool) -> float:
    words = [sys.executable, "-m", "benchmarks.neighbour", "--timed", work]
    words += ["--model", options.model, "--seconds", str(options.seconds)]
    own = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    told = {**own, **WAYS[way], "OMP_NUM_THREADS": str(threads)}
    with _busy(beside):
        done = subprocess.run(words, env=told, capture_output=True, check=True)
    return json.loads(done.stdout)


@contextmanager
def _busy(wanted: bool) -> Iterator[None]:
    """A process that keeps one core busy as long as the block lasts."""
    loop = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(loop) if wanted else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def _rate(options: NeighbourOptions) -> float:
    """Passes a second: forward 1, backward 2, a row each."""
    import torch

    from erase.models.checkpoint import load_checkpoint
    from erase.models.prediction import predict, training_arithmetic

    sd = load_checkpoint(options.model, device="cpu", dtype="float32")
    latents, timesteps, told = sd.architecture.example(sd.denoiser.config)
    rows = torch.zeros(ROWS, dtype=torch.long)
    inputs: Any = (latents[rows], timesteps[rows], told[rows])
    weights = list(sd.trainable("xattn").values())
    sd.denoiser.requires_grad_(False)

    def draw() -> int:
        with torch.no_grad():
            predict(sd.denoiser, *inputs)
        return ROWS

    def train() -> int:
        for weight in weights:
            weight.requires_grad_(True)
        with training_arithmetic(sd.denoiser, torch.float32):
            predict(sd.denoiser, *inputs).square().mean().backward()
        return 3 * ROWS

    work: Callable[[], int] = {"draw": draw, "train": train}[options.timed]
    work()
    began, passes = time.perf_counter(), 0
    while time.perf_counter() - began < options.seconds:
        passes += work()
    return passes / (time.perf_counter() - began)


if __name__ == "__main__":
    main(tyro.cli(NeighbourOptions, description=__doc__))
