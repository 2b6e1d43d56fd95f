"""What benchmarks/growth.py measures at a point of an axis: numbers by column."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.apart import last_json
from benchmarks.configs import CONFIGS, ROWS, TOKENS
from benchmarks.models import CPU, make_unet
from erase.models.companions import vocabulary
from erase.models.devices import resolve_dtype
from erase.models.locate import locate
from erase.run_folder.folder import read_run
from erase.training.memory import plan_training
from eval.attack.known import ATTACKS
from eval.depth.plan import Plan, Under, cost
from eval.generation.generate import Drawing
from expunge.evaluations.attack import IMAGES, REPETITIONS
from expunge.parsing import parse
from expunge.runs.estimate import estimate
from expunge.settings.evaluate_attack import QUICK
from plumbing.processes import Team

Point = dict[str, float]
SETS = {"forget": 48, "retain": 160}
"""Images of a default erasure, of 100 steps of 16 + 16, drawn 16 at a time."""
STEPS, BATCH = 100, 16
SMALL = ["--inference-steps", "2", "--batch-size", "8"]
"""What is run, too, is drawn in few sampling steps."""


def of_concepts(count: int, folder: Path) -> Point:
    """Many concepts at once: as is default, whatever their number, or with as much for each."""
    names = _names(count)
    told, each = _told(names), _told(names, *_flags(count * 48, count * 160, count * STEPS))
    return {
        "passes: sets": told["passes"]["sets"],
        "mask": told["passes"]["mask"],
        "train": told["passes"]["train"],
        "in all": _all(told),
        "in all, sets and steps for each": _all(each),
        **_small(names, folder, 4 * count, 4 * count, count),
    }


def of_images(count: int, folder: Path) -> Point:
    """As many images in either set, a default erasure otherwise; the largest is not run."""
    told = _told(_names(1), *_flags(count, count, STEPS))
    found = {
        "passes: sets": told["passes"]["sets"],
        "mask": told["passes"]["mask"],
        "train": told["passes"]["train"],
        "in all": _all(told),
        "disk, MB": sum(told["disk_bytes"].values()) / 1e6,
    }
    return found | (_small(_names(1), folder, count, count, 4) if count <= 400 else {})


def of_size(side: int) -> Point:
    """Images of another size, of an SD-shaped UNet of 215 M weights."""
    with torch.device("meta"), FlopCounterMode(display=False) as counted, torch.no_grad():
        unet = UNet2DConditionModel(**CONFIGS["medium"])
        latents = torch.zeros(1, 4, side // 8, side // 8)
        unet(latents, torch.zeros(1).long(), torch.zeros(1, TOKENS["medium"], 768))
    return {"TFLOP a pass": counted.get_total_flops() / 1e12, **_memory(0.5, side)}


def of_density(share: float) -> Point:
    """Another share of the same UNet's weights trained, on images of 256 px."""
    return _memory(share, 256)


def of_processes(count: int, folder: Path) -> Point:
    """What the busiest of several processes does, in % of the whole; two are run, too."""
    teams = [Team(rank, count) for rank in range(count)]
    shared = {
        "sets": [sum(_drawn(team, images) for images in SETS.values()) for team in teams],
        "a step": [len(team.part(range(BATCH))) for team in teams],
        "quick attacks": [_attacked(team, QUICK, "quick") for team in teams],
        "all attacks, three times": [_attacked(team, None, "standard") for team in teams],
    }
    found = {f"{what}, %": 100 * max(own) / sum(own) for what, own in shared.items()}
    return found | (_launched(count, folder) if count <= 2 else {})


def _names(count: int) -> list[str]:
    """As many of the miniature's objects."""
    words = vocabulary(locate("miniature"))
    assert words is not None
    return list(words.objects[:count])


def _flags(forget: int, retain: int, steps: int) -> list[str]:
    sets = ["--forget-images", str(forget), "--retain-images", str(retain)]
    return [*sets, "--steps", str(steps)]


def _told(names: Sequence[str], *flags: str) -> dict[str, Any]:
    """What `expunge erase --dry-run` says."""
    return estimate(parse(("erase",), [*names, *flags, "--dry-run", "--out", "not-written"]))


def _all(told: dict[str, Any]) -> int:
    return sum(told["passes"].values())


def _small(names: Sequence[str], folder: Path, forget: int, retain: int, steps: int) -> Point:
    """A small erasure: passes as told before and as taken, and memory."""
    flags = [*SMALL, *_flags(forget, retain, steps)]
    return {"small: told": _all(_told(names, *flags)), **_taken(names, flags, folder, 1)}


def _taken(names: Sequence[str], flags: Sequence[str], folder: Path, processes: int) -> Point:
    """The same erasure run; passes of all processes, the memory of the first."""
    launcher = ["torch.distributed.run", "--nproc_per_node", str(processes), "-m"]
    words = [*(launcher if processes > 1 else []), "expunge", "erase", *names, *flags]
    subprocess.run(
        [sys.executable, "-m", *words, "--out", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    run = read_run(folder)
    passes = sum(parts.denoiser for parts in run.passes.values())
    return {"taken": passes, "peak, GB": (run.peak_memory_mb or 0) / 1e3}


def _launched(count: int, folder: Path) -> Point:
    return _taken(_names(1), [*SMALL, *_flags(16, 32, 4)], folder, count)


def _memory(density: float, side: int) -> Point:
    """Of training with everything in one pass: as reckoned, and the peak of two steps.

    Of more than 512 px it is reckoned alone: steps would take a busy processor minutes.
    """
    dtype = resolve_dtype("auto", CPU)
    unet = make_unet("medium", dtype, pixels=side)
    parameters = list(unet.parameters())
    plan = plan_training(
        unet,
        parameters=parameters,
        selected=round(density * sum(p.numel() for p in parameters)),
        batch_size=ROWS["medium"],
        steps=2,
        dtype=dtype,
        frozen_teacher=True,
        teach_retained=True,
        free=20,
    )
    told = {
        "GB of activations an image": plan.gigabytes["activations"] / (2 * ROWS["medium"]),
        "GB told": plan.total,
    }
    if side > 512:
        return told
    flags = {"size": "medium", "variant": "ours", "steps": 2, "free": 20}
    found = last_json("benchmarks.training", flags | {"density": density, "pixels": side})
    return told | {"peak, GB": found["peak_gb"]}


def _drawn(team: Team, images: int) -> int:
    """Images of a set that a process draws, in whole batches."""
    return sum(map(len, team.part([range(images)[i : i + BATCH] for i in range(0, images, BATCH)])))


def _attacked(team: Team, names: Sequence[str] | None, budget: Any) -> int:
    """Passes of a process's share of the attacks on the original, the erased model, and a floor."""
    attacks = [attack for attack in ATTACKS if names is None or attack.name in names]
    how = Drawing("ddim", 10, 5.0, (64, 64), "float32")
    plan = Plan(attacks, budget, REPETITIONS[budget], IMAGES[budget], 0, how)
    subjects: Any = dict.fromkeys(("original", "erased", "floor", "random weights"))
    under = Under(subjects, Path(), Path(), lambda total, done: NotImplemented)
    costs = [cost(cell, how.steps) for _, cell in under.jobs(plan.cells(""))]
    return sum(costs[i] for i in team.share(costs))
