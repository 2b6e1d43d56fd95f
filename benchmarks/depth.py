"""Who only hides a concept? Every attack on models erased in several ways, in one table.

python -m miniature --without church   # once, some hours: the model that never knew it
python -m benchmarks.depth --out runs/bench

The rows are the defaults, all weights at a higher rate, and a short ESD-x (Gandikota et al., ICCV
2023), which is none of the product's methods: 150 steps of Adam at 2e-4 on the cross-attention,
towards e(x_t | "") - (e(x_t | c) - e(x_t | "")) of the original, on noised images of the concept.
"""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
import tyro

from benchmarks.common import Options, erase_case, table, write_results
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.model_source import MINIATURE
from erase.models.prediction import predict
from eval.depth.results import AttackEvaluation, AttackScore
from eval.metrics.schema import Metric
from expunge.evaluations.attack import evaluate_attack
from expunge.evaluations.under_attack import UnderAttack
from expunge.settings.erase import Erase
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.salun import SalUnFlags
from plumbing.processes import sole

STEPS, LR, BATCH = 150, 2e-4, 8


@dataclass(frozen=True)
class DepthOptions(Options):
    """Flags of the benchmark of depth."""

    concept: str = "church"
    """What is erased."""
    budget: Literal["quick", "standard"] = "standard"
    """How long each attack tries."""
    floor: Path = Path("build/miniature/without-church")
    """The model that never knew it, as `python -m miniature --without OBJECT` makes it."""


def main(options: DepthOptions) -> None:
    """Erase, attack every row and write depth.json and .md."""
    if not options.floor.is_dir():
        sys.exit(
            f"--floor {options.floor}: is not there; make it once with "
            f"`python -m miniature --without {options.concept}`"
        )
    rows: Mapping[str, Callable[[DepthOptions], Path]] = {
        "defaults": _defaults,
        "`--train-method full --lr 3e-4`": _full,
        "ESD-x, 150 steps (not ours)": _esd_x,
    }
    found: dict[str, AttackEvaluation] = {}
    for name, make in rows.items():
        found[name] = attack(make(options), options)
        record = {"rows": {name: each.to_dict() for name, each in found.items()}}
        write_results(options, "depth", record, to_markdown(found, options))
    sys.stdout.write(to_markdown(found, options))


def attack(model: Path, options: DepthOptions) -> AttackEvaluation:
    """One row; what the original and the floor reach is kept for the next."""
    evaluation, _ = sole(
        evaluate_attack(
            EvaluateAttack(
                target=str(model),
                baseline=options.model,
                concept=(options.concept,),
                budget=options.budget,
                floor=str(options.floor),
                out=options.out / f"depth-{options.budget}" / model.name,
                originals=options.out / ".originals",
            )
        )
    )
    return evaluation


def to_markdown(found: Mapping[str, AttackEvaluation], options: DepthOptions) -> str:
    """A row a model and a column an attack: the form that counts, with its interval."""
    first = next(iter(found.values()))
    names = list(first.erased)
    lines = []
    for row, evaluation in found.items():
        sides = {row: evaluation.erased, "… original": evaluation.original}
        for side, scores in (sides | {"… never knew it": evaluation.floor}).items():
            lines.append([side, *(_cell(scores.get(name)) for name in names)])
    protocol = first.protocol
    note = (
        f"{options.concept} erased from {options.model}: images that show it under attack, in %, "
        f"with 95 % intervals; budget {protocol.name}, {protocol.repetitions} repetitions of "
        f"{protocol.images} images a form, {protocol.sampler} in {protocol.steps} steps, guidance "
        f"{protocol.guidance_scale:g}, seed {protocol.seed}. Of each attack the form that exceeds "
        "its floor most surely; the same form on all models."
    )
    return f"{note}\n\n{table(['', *names], lines)}"


def _cell(score: AttackScore | None) -> str:
    return _rate(score.success) if score else ""


def _rate(metric: Metric) -> str:
    return f"{metric.value:.0f} [{metric.ci95[0]:.0f}, {metric.ci95[1]:.0f}]"


def _defaults(options: DepthOptions) -> Path:
    return Path(erase_case("defaults", Erase(concepts=(options.concept,)), options)["out"])


def _full(options: DepthOptions) -> Path:
    command = Erase(concepts=(options.concept,), settings=SalUnFlags(train_method="full", lr=3e-4))
    return Path(erase_case("full-3e-4", command, options)["out"])


def _esd_x(options: DepthOptions) -> Path:
    """A copy of the model with the UNet that a short ESD-x makes of its."""
    folder = options.out / "esd-x"
    if folder.is_dir():
        return folder
    if options.model != "miniature":
        sys.exit("--model: the row of ESD-x is made from the miniature alone")
    student, teacher = (load_checkpoint(options.model, device="cpu") for _ in range(2))
    train_esd_x(student, teacher, options)
    partial = folder.with_name("esd-x.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(
        MINIATURE, partial, ignore=shutil.ignore_patterns("unet", "*.py", "__pycache__")
    )
    student.unet.half().save_pretrained(partial / "unet")
    return partial.rename(folder)


def train_esd_x(student: Bundle, teacher: Bundle, options: DepthOptions) -> None:
    """Train the student's cross-attention in place."""
    drawing = UnderAttack(teacher, sha256="", steps=12, guidance=5.0, lr=None)
    prompts = [f"{kind} of a {options.concept}" for kind in ("an image", "a picture")] * 16
    with torch.no_grad():
        latents = drawing.denoise(drawing.noise(range(len(prompts))), teacher.encode(prompts))
    told, nothing = teacher.encode(prompts), teacher.encode_nothing()
    student.denoiser.requires_grad_(False)
    parameters = list(student.trainable("xattn").values())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=LR)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        rows = torch.randint(len(prompts), (BATCH,), generator=generator)
        times = teacher.schedule.draw(BATCH, generator)
        noise = torch.randn(latents[rows].shape, generator=generator)
        noisy = teacher.schedule.add_noise(latents[rows], noise, times)
        with torch.no_grad():
            without = predict(teacher.unet, noisy, times, nothing[torch.zeros_like(rows)])
            target = 2 * without - predict(teacher.unet, noisy, times, told[rows])
        loss = F.mse_loss(predict(student.unet, noisy, times, told[rows]), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main(tyro.cli(DepthOptions, description=__doc__))
