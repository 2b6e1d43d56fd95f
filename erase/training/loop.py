"""The loop that every trained method shares; it knows no method.

A method says what each step sees, what a teacher is asked, and what the losses are. The loop owns
the optimiser, the learning rate, the micro-batches, the check for finite numbers and the log.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

import torch
from torch import Tensor, nn

from erase.diffusion.cpu_kernels import compiled, training_kernels
from erase.models.prediction import predict, training_arithmetic
from erase.training.batches import Noised, micro_batches
from erase.training.heap import trim_heap
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import Diverged, StepRow
from erase.training.teacher import Drawn, Target, Teacher, listed, teach
from plumbing.processes import ALONE, Team

Losses = Callable[[Any, Drawn, slice, Target], tuple[Tensor, Mapping[str, Tensor]]]
"""Of a student, what a step draws, which rows of it, and their targets: the rows' share of the
step's loss, and of each term by its name."""


@dataclass(frozen=True)
class Before(Generic[Drawn]):
    """What is done before each step's losses."""

    act: Callable[[Any, Drawn], object]
    """Given the student and what the step draws."""
    tensors: Mapping[str, Tensor]
    """All that it remembers from step to step, by name; in use, not copies."""


@dataclass(frozen=True)
class Kit:
    """The machine's side of a training: it decides time and memory, and no figure but rounding."""

    dtype: torch.dtype = torch.float32
    """Of the arithmetic."""
    micro_batch: int | None = None
    """Images of either set in one pass; None: all of a step's."""
    teach_ahead: bool = True
    """A frozen teacher speaks before the training begins, and every target is stored; else it is a
    copy of the denoiser."""
    compiled: bool = False
    """Whether torch.compile makes the passes."""
    values: Mapping[str, Tensor] | None = None
    """The weights in full precision, by name, for a denoiser that is held in less."""
    team: Team = ALONE
    """The processes that share out each step's micro-batches and add up their gradients."""
    resume: tuple[list[StepRow], Mapping[str, Tensor]] | None = None
    """Log and optimiser state after some steps, as `progress` is shown them; what follows is then
    the same to the bit."""
    progress: Callable[[list[StepRow], MaskedOptimizer], object] = lambda log, optimizer: False
    """Called after each step; True ends the training."""
    taught: Callable[[], object] = lambda: None
    """Called after each step's worth of targets that is made ahead."""

    seen: Callable[[int], object] = lambda images: None
    """Called with the number of images after each pass of the saliency."""

    def predict(self, denoiser: Any, batch: Noised) -> Tensor:
        """eps_theta(x_t | c) of a student, [B, C, h, w], in float32 with its gradient."""
        with training_arithmetic(denoiser, self.dtype):
            return predict(denoiser, *batch.inputs)

    def ask(self, teacher: Any, batch: Noised) -> Tensor:
        """The same of a teacher: on the CPU, in the arithmetic's own type, which loses nothing."""
        return self.predict(teacher, batch).to(self.dtype).cpu()


def train(
    kit: Kit,
    denoiser: Any,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    draws: Callable[[], Iterator[Drawn]],
    losses: Losses[Drawn],
    *,
    batch_size: int,
    lr: Callable[[int], float],
    teacher: Teacher[Drawn] | None = None,
    before: Before[Drawn] | None = None,
    weight_decay: float = 0.0,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train `denoiser` in place with Adam; a row a step, and the optimiser.

    Only weights with a True in `mask` (bool tensors by parameter name) change; `merged` of the
    optimiser gives the trained ones in float32. `draws` begins anew at each call, the same every
    time; `lr` is of the step, from 0. With a `weight_decay`, which is not part of the gradient, it
    is AdamW. A loss or gradient that is not finite raises Diverged.
    """
    denoiser.eval().requires_grad_(False)
    # No process of a team may be without images.
    at_once = min(kit.micro_batch or batch_size, -(-batch_size // kit.team.count))
    own = micro_batches(batch_size, at_once, kit.team)
    log, state = kit.resume or ([], {})
    start = len(log)

    def left() -> Iterator[Drawn]:
        return islice(draws(), start, None)

    ahead = teacher is not None and teacher.frozen and kit.teach_ahead and not teacher.follows
    copied = teacher is not None and teacher.frozen and not ahead
    teaching = copy.deepcopy(denoiser) if copied else denoiser
    # Put in once, not in every pass.
    with training_kernels(denoiser, kit.dtype):
        targets = _targets(kit, teaching, teacher, left, own, ahead=ahead)
        student = compiled(denoiser) if kit.compiled else denoiser
        # A step inside the backward pass needs all of a step's images in that pass.
        optimizer = _adam(
            kit,
            parameters,
            mask,
            lr(0),
            weight_decay,
            in_backward=at_once == batch_size,
            beside=before.tensors if before else {},
        )
        if state:
            optimizer.restore(state)
        with closing(optimizer):
            for step, draw in enumerate(left(), start):
                started = time.perf_counter()
                optimizer.set_lr(lr(step))
                if before:
                    before.act(student, draw)
                found = _backward(student, draw, next(targets), own, losses)
                optimizer.step()
                trim_heap(denoiser)
                values = _summed(found, kit.team)
                log.append(StepRow(step + 1, values, lr(step), time.perf_counter() - started))
                # Asked of sums over all processes, so that they end together.
                if not (all(map(_finite, values.values())) and optimizer.finite):
                    raise Diverged(log, optimizer)
                if kit.progress(log, optimizer):
                    break
    denoiser.requires_grad_(False)
    return log, optimizer


def rate(lr: float, schedule: str, steps: int) -> Callable[[int], float]:
    """The learning rate of each step: `constant`, or `linear` down to 0."""
    return lambda step: lr * (1 - step / steps) if schedule == "linear" else lr


def _adam(
    kit: Kit,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    lr: float,
    weight_decay: float,
    *,
    in_backward: bool,
    beside: Mapping[str, Tensor],
) -> MaskedOptimizer:
    def build(weights: list[Tensor]) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
        return kind(weights, lr=lr, weight_decay=weight_decay, fused=True)

    return MaskedOptimizer(
        parameters,
        mask,
        build,
        values=kit.values,
        in_backward=in_backward,
        reduce=kit.team.add if kit.team.count > 1 else None,
        beside=beside,
    )


def _targets(
    kit: Kit,
    teaching: Any,
    teacher: Teacher[Drawn] | None,
    draws: Callable[[], Iterator[Drawn]],
    own: list[slice],
    *,
    ahead: bool,
) -> Iterator[list[Target]]:
    """Each step's targets, a list of own micro-batches; without a teacher they are empty."""
    if teacher is None:
        return ([()] * len(own) for _ in draws())
    targets = teach(teaching, teacher, draws(), own)
    return iter(listed(targets, kit.taught)) if ahead else targets


def _backward(
    student: Any, draw: Drawn, targets: list[Target], own: list[slice], losses: Losses[Drawn]
) -> dict[str, Tensor]:
    """Make the gradients of this process's own micro-batches; the sums of their losses."""
    sums: dict[str, Tensor] = {}
    for rows, target in zip(own, targets, strict=True):
        loss, terms = losses(student, draw, rows, target)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0) + term.detach().float()
        loss.backward()
    return sums


def _summed(losses: Mapping[str, Tensor], team: Team) -> dict[str, float]:
    """The losses over all processes."""
    values = torch.stack(list(losses.values()))
    team.add(values)
    return dict(zip(losses, values.tolist(), strict=True))


def _finite(value: float) -> bool:
    return abs(value) < float("inf")
