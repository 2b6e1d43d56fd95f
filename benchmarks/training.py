"""One training step: ours, the official structure's, and the bare UNet's; time and memory.

python -m benchmarks.training --size miniature

`floor` is what no implementation can do without: a teacher's forward pass, a student's forward and
backward pass over the same rows in the same type and layout, and a fused AdamW step over as many
weights as are selected; by torch's own kernels, or by ours (`quick_floor`). `reference`
(benchmarks/reference.py) is the official structure in float32; at the full size of SD 1.5 its state
alone would be 20.6 GB, so it is left out there. `compiled` is ours with --compile, `channels_last`
ours in that memory layout. Each runs in a process of its own, one after the other; the quickest of
the steps after the first counts.
"""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from benchmarks.machine import machine
from benchmarks.models import (
    ROWS,
    TOKENS,
    Size,
    make_bundle,
    make_encoders,
    make_sets,
    make_unet,
    random_bits,
)
from benchmarks.reference import ReferenceTraining
from erase.diffusion.cpu_kernels import training_kernels
from erase.diffusion.noise_schedule import NoiseSchedule
from erase.methods.salun import erase
from erase.models.devices import resolve_dtype
from erase.models.prediction import predict
from erase.training.batches import Draw, draw_steps
from erase.training.loop import Kit
from erase.training.memory import plan_training
from plumbing.whole_files import replace_file

LR = 1e-5
Variant = Literal["floor", "quick_floor", "ours", "compiled", "channels_last", "reference"]
DEFAULTS: dict[Size, tuple[Variant, ...]] = {
    "miniature": ("floor", "quick_floor", "ours", "compiled", "channels_last", "reference"),
    "medium": ("floor", "quick_floor", "ours", "channels_last", "reference"),
    "sd15": ("floor", "quick_floor", "ours"),
}


@dataclass(frozen=True)
class Options:
    """Flags."""

    size: Size = "miniature"
    """The shipped miniature (16 + 16 rows), an SD-shaped UNet of 215 M weights, or SD 1.5's
    (1 + 1 rows of 64x64 latents)."""
    density: float = 0.5
    """Share of the weights that are trained."""
    steps: int = 6
    """Training steps, the first one for warming up."""
    rounds: int = 1
    """Times that all are run, one after the other; the quickest step of all rounds counts."""
    variants: tuple[Variant, ...] = ()
    """What is timed; nothing: all that fit in 24 GB, compiled steps of the miniature alone."""
    dtype: str = "auto"
    """As `expunge erase --dtype`."""
    free: float | None = None
    """Gigabytes to plan for, instead of what is free here."""
    pixels: int | None = None
    """Side of the images, instead of the model's own."""
    out: Path = Path("runs/bench")
    """Folder of the table."""
    variant: Variant | None = None
    """Run this one alone, here, and print its JSON."""


def main(options: Options) -> None:
    """Print and write the table, or run one variant."""
    if options.variant:
        print(json.dumps(run_variant(options, options.variant)))
        return
    variants = options.variants or DEFAULTS[options.size]
    runs = [{v: _apart(options, v) for v in variants} for _ in range(options.rounds)]
    results = {v: _best([run[v] for run in runs]) for v in variants}
    for result in results.values() if "ours" in results else ():
        result["of_ours"] = round(result["seconds"] / results["ours"]["seconds"], 3)
    record = {
        "benchmark": "training",
        "size": options.size,
        "density": options.density,
        "machine": machine(),
        "results": results,
    }
    name = f"training-{options.size}-{options.density:g}"
    name += f"-{options.free:g}gb" if options.free else ""
    name += f"-{options.pixels}px" if options.pixels else ""
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
    print(json.dumps(record, indent=2))


def _best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The quickest step of several runs of one variant, and the highest of their peaks."""
    return {
        "seconds": min(run["seconds"] for run in runs),
        "rounds": [run["seconds"] for run in runs],
        "peak_gb": max(run["peak_gb"] for run in runs),
    }


def _apart(options: Options, variant: Variant) -> dict[str, Any]:
    flags = {"size": options.size, "density": options.density, "steps": options.steps}
    flags |= {"dtype": options.dtype, "variant": variant}
    flags |= {"free": options.free} if options.free else {}
    flags |= {"pixels": options.pixels} if options.pixels else {}
    words = [word for flag, value in flags.items() for word in (f"--{flag}", str(value))]
    command = [sys.executable, "-m", "benchmarks.training", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_variant(options: Options, variant: Variant) -> dict[str, Any]:
    """Seconds of the quickest step and of all but the first, and gigabytes at most, here."""
    dtype = resolve_dtype(options.dtype, torch.device("cpu"))
    run = {"floor": _floor, "quick_floor": _floor, "reference": _reference}.get(variant, _ours)
    times = run(options, dtype, variant)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e6  # pyright: ignore
    return {"seconds": round(min(times), 4), "all": [round(t, 3) for t in times], "peak_gb": peak}


def _unet(options: Options, dtype: torch.dtype) -> Any:
    """The UNet of the size, told of the images' side, on which only its config depends."""
    unet = make_unet(options.size, dtype)
    if options.pixels:
        # The miniature's autoencoder shrinks by 4, those of the others by 8.
        unet.register_to_config(
            sample_size=options.pixels // (4 if options.size == "miniature" else 8)
        )
    return unet


def _ours(options: Options, dtype: torch.dtype, variant: Variant) -> list[float]:
    unet = _unet(options, dtype)
    if variant == "channels_last":
        unet = unet.to(memory_format=torch.channels_last)
    rows, parameters = ROWS[options.size], dict(unet.named_parameters())
    forget, retain = make_sets(unet, 4 * rows, TOKENS[options.size])
    mask = random_bits(unet, options.density)
    plan = plan_training(
        unet,
        parameters=list(parameters.values()),
        selected=mask.kept,
        batch_size=rows,
        steps=options.steps,
        dtype=dtype,
        frozen_teacher=True,
        teach_retained=True,
        free=options.free,
    )
    if plan.checkpointing:
        unet.enable_gradient_checkpointing()
    print(plan.describe(), plan.gigabytes, file=sys.stderr)
    assert getattr(torch, plan.weights) == unet.dtype
    said: list[float] = [time.perf_counter()]
    kit = Kit(
        dtype=dtype,
        micro_batch=plan.micro_batch,
        teach_ahead=plan.teach_ahead,
        compiled=variant == "compiled",
        taught=lambda: said.append(time.perf_counter()),
    )
    log, _ = erase(
        make_bundle(unet),
        parameters,
        mask.by_name(),
        forget,
        retain,
        kit,
        steps=options.steps,
        lr=LR,
        lr_schedule="constant",
        batch_size=rows,
        alpha=3,
        teacher="frozen",
        retain_target="teacher",
        noise_weight=1,
        seed=0,
    )
    taught = [after - before for before, after in pairwise(said)]
    return [a + row.seconds for a, row in zip(taught, log, strict=True)][1:]


def _draws(options: Options, unet: Any) -> tuple[NoiseSchedule, list[Draw]]:
    rows, bundle = ROWS[options.size], make_bundle(unet)
    schedule = bundle.schedule
    forget, retain = make_sets(unet, 4 * rows, TOKENS[options.size])
    scale = bundle.vae.config["scaling_factor"]
    sets = (forget, retain)
    drawn = draw_steps(schedule, scale, *sets, steps=options.steps, batch_size=rows, seed=0)
    return schedule, list(drawn)


def _floor(options: Options, dtype: torch.dtype, variant: Variant) -> list[float]:
    unet = _unet(options, dtype).requires_grad_(True)
    selected = round(options.density * unet.num_parameters())
    weights = torch.zeros(selected)
    weights.grad = torch.full((selected,), 1e-3)
    optimizer = torch.optim.AdamW([weights], lr=LR, fused=True)
    times = []
    for draw in _draws(options, unet)[1]:
        both = draw.both()
        started = time.perf_counter()
        with training_kernels(unet, dtype) if variant == "quick_floor" else nullcontext():
            with torch.no_grad():
                target = predict(unet, *both.inputs)
            (predict(unet, *both.inputs) - target).square().mean().backward()
        for parameter in unet.parameters():
            parameter.grad = None
        optimizer.step()
        times.append(time.perf_counter() - started)
    return times[1:]


def _reference(options: Options, dtype: torch.dtype, variant: Variant) -> list[float]:
    unet = _unet(options, torch.float32)
    vae, text_encoder = make_encoders(options.size)
    training = ReferenceTraining(
        unet, vae, text_encoder, random_bits(unet, options.density).by_name(), lr=LR, alpha=3
    )
    pixels = unet.config["sample_size"] * 2 ** (len(vae.config["block_out_channels"]) - 1)
    images = torch.rand(ROWS[options.size], 3, pixels, pixels) * 2 - 1
    tokens = torch.zeros(ROWS[options.size], TOKENS[options.size], dtype=torch.long)
    times = []
    for draw in _draws(options, unet)[1]:
        started = time.perf_counter()
        for _ in ("forget", "pseudo", "retain"):
            training.encode(images, tokens)
        training.step(draw)
        times.append(time.perf_counter() - started)
    return times[1:]


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    main(tyro.cli(Options, description=__doc__))
