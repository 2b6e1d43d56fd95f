"""One process with every core, or one process a core? An erasure of the miniature either way.

    python -m benchmarks.processes --out runs/bench

The same erasure, from nothing, by one process of two threads and by two processes of one thread
each (torchrun, as `accelerate launch` does on GPUs): seconds of each stage, how much of the mask is
the same, how far the losses are apart, and whether the concept is gone.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.common import Options as CommonOptions
from benchmarks.common import table, write_results
from benchmarks.machine import machine
from erase.run_folder.folder import read_run
from erase.saliency.mask import SaliencyMask
from expunge.evaluations.concept import evaluate_concept
from expunge.settings.evaluate import EvaluateConcept

STAGES = ("sets", "mask", "train")


@dataclass(frozen=True)
class Options(CommonOptions):
    """Flags."""

    images: int = 64
    """Images in either set."""
    steps: int = 20
    """Training steps."""
    dtype: str = "float32"
    """As `expunge erase --dtype`; what less precision rounds, the sizes of the passes decide."""


def main(options: Options) -> None:
    """Run both; print, and write processes.json and processes.md."""
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "-m"]
    runs = {
        "one process, two threads": _erase(options, "one", [], threads=2),
        "two processes, one thread each": _erase(options, "two", launcher, threads=1),
    }
    seconds = {name: read_run(run).seconds for name, run in runs.items()}
    rows = [[name, *(f"{s[stage]:.1f}" for stage in STAGES)] for name, s in seconds.items()]
    one, two = seconds.values()
    rows.append(["ratio", *(f"{one[stage] / two[stage]:.2f}" for stage in STAGES)])
    alike = _compare(*runs.values())
    gone = {}
    for name, run in runs.items():
        evaluation, _ = evaluate_concept(
            EvaluateConcept(target=str(run), protocol=options.protocol)
        )
        gone[name] = evaluation.to_dict()["erased"]["ua"]
    found = {"machine": machine(), "seconds": seconds, "alike": alike, "ua": gone}
    markdown = f"{table(['seconds', *STAGES], rows)}\n{json.dumps(alike)}\n{json.dumps(gone)}\n"
    write_results(options, "processes", found, markdown)
    sys.stdout.write(markdown)


def _compare(one: Path, two: Path) -> dict[str, float]:
    """Percent of the mask's bits that are the same, and how far losses are apart at most."""
    masks = [SaliencyMask.load(run / "mask.safetensors") for run in (one, two)]
    same = sum(int((masks[0].bits(n) == masks[1].bits(n)).sum()) for n in masks[0].shapes)
    logs = [
        [json.loads(line) for line in (run / "train_log.jsonl").read_text("utf-8").splitlines()]
        for run in (one, two)
    ]
    apart = {
        f"{loss}_loss": max(
            abs(a["losses"][loss] - b["losses"][loss]) for a, b in zip(*logs, strict=True)
        )
        for loss in ("forget", "retain")
    }
    return {"mask_bits": masks[0].total, "same": 100 * same / masks[0].total, **apart}


def _erase(options: Options, name: str, launcher: list[str], *, threads: int) -> Path:
    out = Path(options.out) / "processes" / name
    words = [sys.executable, "-m", *launcher, "erase", "erase", "church", "--overwrite"]
    words += ["--model", options.model, "--out", str(out), "--steps", str(options.steps)]
    words += ["--dtype", options.dtype, "--saliency-guidance", "0"]
    words += ["--forget-images", str(options.images), "--retain-images", str(options.images)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
    return out


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
