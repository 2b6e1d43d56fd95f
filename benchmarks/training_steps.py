"""Training steps to be timed, on any device: ours, the bare passes', the official structure's.

All see the same random images, and the first step of each is left out.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import nn

from benchmarks.clock import time_each
from benchmarks.configs import TOKENS, Size
from benchmarks.models import CPU, make_bundle, make_encoders, make_sets, make_unet, random_bits
from benchmarks.reference import ReferenceTraining
from erase.diffusion.cpu_kernels import compiled, training_kernels
from erase.methods.salun import erase
from erase.models.architectures.known import architecture_of
from erase.models.prediction import predict
from erase.training.batches import Draw, draw_steps
from erase.training.loop import Kit
from erase.training.memory import TrainingPlan, plan_training

LR = 1e-5
Form = Literal["", "compiled", "channels-last", "recomputed"]
"""How passes are made: as they are, by torch.compile, in that memory layout, or with activations
computed again in the backward pass (gradient checkpointing)."""


@dataclass(frozen=True)
class Case:
    """What is trained, and how."""

    size: Size
    rows: int
    """Images of either set in a step."""
    steps: int
    """Of which the first is for warming up."""
    dtype: torch.dtype
    device: torch.device = CPU
    density: float = 0.5
    train_method: str = "full"
    form: Form = ""
    pixels: int | None = None
    """Side of the images, instead of the model's own."""
    free: float | None = None
    """Gigabytes to plan for, instead of what is free."""

    def unet(self, dtype: torch.dtype | None = None) -> Any:
        """The UNet, in the case's type or another."""
        return shaped(make_unet(self.size, dtype or self.dtype, self.device, self.pixels), self)

    def trained(self, unet: Any) -> dict[str, nn.Parameter]:
        """The parameters that the train_method lets train; the others want no gradient."""
        chosen = architecture_of(unet).groups[self.train_method]
        unet.requires_grad_(False)
        return {n: p.requires_grad_(True) for n, p in unet.named_parameters() if chosen(n)}


def shaped(unet: Any, case: Case) -> Any:
    """A UNet in the form of a case, but for compiling."""
    if case.form == "channels-last":
        unet = unet.to(memory_format=torch.channels_last)
    if case.form == "recomputed":
        unet.enable_gradient_checkpointing()
    return unet


def time_ours(case: Case) -> tuple[list[float], TrainingPlan]:
    """Seconds of our steps, what the teacher says of each included; and how it was trained."""
    unet = case.unet()
    parameters = case.trained(unet)
    forget, retain = make_sets(unet, 4 * case.rows, TOKENS[case.size])
    mask = random_bits(parameters, case.density)
    plan = plan_training(
        unet,
        parameters=list(parameters.values()),
        selected=mask.kept,
        batch_size=case.rows,
        steps=case.steps,
        dtype=case.dtype,
        frozen_teacher=True,
        held=2,
        free=case.free,
    )
    if plan.checkpointing:
        unet.enable_gradient_checkpointing()
    assert getattr(torch, plan.weights) == unet.dtype
    # The loop waits for a GPU before it looks at the clock: it reads every step's losses, and a
    # teacher's answers are kept on the CPU.
    said: list[float] = [time.perf_counter()]
    kit = Kit(
        dtype=case.dtype,
        micro_batch=plan.micro_batch,
        teach_ahead=plan.teach_ahead,
        compiled=case.form == "compiled",
        taught=lambda: said.append(time.perf_counter()),
    )
    log, _ = erase(
        make_bundle(unet),
        parameters,
        mask.by_name(),
        forget,
        retain,
        kit,
        steps=case.steps,
        lr=LR,
        lr_schedule="constant",
        batch_size=case.rows,
        alpha=3,
        teacher="frozen",
        retain_target="teacher",
        noise_weight=1,
        seed=0,
    )
    # A copy of the UNet as teacher answers within the step.
    taught = [after - before for before, after in pairwise(said)] or [0.0] * len(log)
    return [a + row.seconds for a, row in zip(taught, log, strict=True)][1:], plan


def time_passes(case: Case, *, optimise: bool = False, kernels: bool = False) -> list[float]:
    """Seconds of a teacher's forward and a student's forward and backward pass over both sets.

    With `optimise` a fused AdamW step over as many weights as are selected comes after them;
    `kernels` are ours for CPUs instead of torch's own.
    """
    unet = case.unet()
    parameters = list(case.trained(unet).values())
    optimizer = _adam(sum(p.numel() for p in parameters), case) if optimise else None
    student = compiled(unet) if case.form == "compiled" else unet
    batches = iter([draw.to(case.device).both() for draw in _draws(case, unet)])

    def step() -> None:
        both = next(batches)
        with _kernels(unet, case, kernels):
            with torch.no_grad():
                target = predict(student, *both.inputs)
            (predict(student, *both.inputs) - target).square().mean().backward()
        for parameter in parameters:
            parameter.grad = None
        if optimizer:
            optimizer.step()

    return time_each(case.device, step, case.steps)[1:]


def time_reference(case: Case) -> list[float]:
    """Seconds of the official structure's steps, in float32."""
    unet = case.unet(torch.float32)
    parameters = case.trained(unet)
    vae, text_encoder = make_encoders(case.size, torch.float32, case.device)
    mask = random_bits(parameters, case.density).by_name()
    training = ReferenceTraining(unet, vae, text_encoder, mask, lr=LR, alpha=3)
    pixels = unet.config["sample_size"] * 2 ** (len(vae.config["block_out_channels"]) - 1)
    images = (torch.rand(case.rows, 3, pixels, pixels) * 2 - 1).to(case.device)
    tokens = torch.zeros(case.rows, TOKENS[case.size], dtype=torch.long, device=case.device)
    draws = _draws(case, unet)

    def step() -> None:
        for _ in ("forget", "pseudo", "retain"):
            training.encode(images, tokens)
        training.step(next(draws).to(case.device))

    return time_each(case.device, step, case.steps)[1:]


def _adam(trainable: int, case: Case) -> torch.optim.Optimizer:
    """A fused AdamW over as many weights as are selected, their gradients there."""
    weights = torch.zeros(round(case.density * trainable), device=case.device)
    weights.grad = torch.full_like(weights, 1e-3)
    return torch.optim.AdamW([weights], lr=LR, fused=True)


def _kernels(unet: Any, case: Case, ours: bool) -> AbstractContextManager[None]:
    return training_kernels(unet, case.dtype) if ours else nullcontext()


def _draws(case: Case, unet: Any) -> Iterator[Draw]:
    """What each step sees, drawn before anything is timed."""
    bundle, sets = make_bundle(unet), make_sets(unet, 4 * case.rows, TOKENS[case.size])
    drawn = {"steps": case.steps, "batch_size": case.rows, "seed": 0}
    scale = bundle.vae.config["scaling_factor"]
    return iter(list(draw_steps(bundle.schedule, scale, *sets, **drawn)))
