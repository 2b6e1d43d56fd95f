"""A hash of every weight and figure that the commands leave on the miniature.

    python -m benchmarks.same_figures "python -m expunge" runs/same > after.json

Run before and after a change of the code's structure, on one machine with one number of threads,
both outputs are equal. The church of seed 0 is erased with the default settings in float32; the
other runs are short ones of other settings. Times and dates are left out.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = ("seconds", "date", "peak_memory_mb", "versions", "model", "baseline", "out")
SMALL = "--forget-images 8 --retain-images 16 --inference-steps 6"
RUNS = {
    "church": "church --dtype float32",
    "published": f"church --preset salun-imagenette --steps 4 --micro-batch 3 {SMALL} "
    "--dtype float32",
    "nudity": f"church --preset salun-nudity --steps 4 --density 0.1 {SMALL} --dtype float32",
    "random": f"outline --mask-kind random --train-method full --steps 3 {SMALL} --dtype float32",
    "two": f"church dog --mask-kind none --saliency-guidance 0 --steps 3 --no-guard --lr-schedule "
    f"linear --seed 3 {SMALL} --dtype float32",
    "bf16": f"church --dtype bfloat16 --steps 12 {SMALL}",
}


def main(expunge: str, out: Path) -> None:
    """Run everything, and print one JSON object."""

    def call(words: str) -> None:
        done = [*shlex.split(expunge), *shlex.split(words)]
        subprocess.run(done, check=True, stdout=subprocess.DEVNULL)

    found: dict[str, str] = {}
    for name, words in RUNS.items():
        call(f"erase {words} --out {out / name}")
        found |= {f"{name}: {file}": digest for file, digest in _of_run(out / name)}
    church = out / "church"
    for form in ("delta", "lora", "single-file"):
        check = " --check no" if form == "lora" else ""
        call(f"export {church} --format {form} --to {out / form}.safetensors{check}")
        found[f"export: {form}"] = _sha256((out / f"{form}.safetensors").read_bytes())
    call(f"evaluate concept {church} --protocol demo --dtype float32")
    call(f"evaluate quality {church} --images 24 --dtype float32")
    for kind in ("concept", "quality"):
        found |= {f"{kind}: {file}": digest for file, digest in _of_evaluation(church, kind)}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def _of_run(run: Path) -> Iterator[tuple[str, str]]:
    for file in ("unet/diffusion_pytorch_model.safetensors", "mask.safetensors"):
        yield file, _sha256((run / file).read_bytes())
    yield "train_log.jsonl", _of_rows(run / "train_log.jsonl")


def _of_evaluation(run: Path, kind: str) -> Iterator[tuple[str, str]]:
    place = run / "eval" / kind
    evaluation = json.loads((place / "evaluation.json").read_text("utf-8"))
    yield "evaluation.json", _of_json(evaluation)
    for file in sorted(place.rglob("*.jsonl")):
        yield file.relative_to(place).as_posix(), _of_rows(file)
    images = sorted(place.rglob("*.png"))
    yield f"{len(images)} images", _sha256(b"".join(image.read_bytes() for image in images))


def _of_rows(file: Path) -> str:
    return _of_json([json.loads(line) for line in file.read_text("utf-8").splitlines()])


def _of_json(value: Any) -> str:
    return _sha256(json.dumps(_steady(value), sort_keys=True).encode())


def _steady(value: Any) -> Any:
    """The same JSON without times, dates and places."""
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key not in LEFT_OUT}
    return [_steady(each) for each in value] if isinstance(value, list) else value


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
