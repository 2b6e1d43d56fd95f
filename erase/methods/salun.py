"""SalUn (Fan et al., 2024): relabel the concept, keep the rest, touch only salient weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.diffusion import cpu_kernels as kernels
from erase.diffusion.conditioning import encode_no_prompt
from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.prediction import guided_prediction, predict, training_arithmetic
from erase.image_sets.datasets import ForgetSet, RetainSet
from erase.models.stable_diffusion import StableDiffusion
from erase.saliency.accumulate import accumulate_saliency
from erase.tensors.bits import widened
from erase.training.batches import Draw, NoisyBatch, add_noise, draw_steps, micro_batches
from erase.training.heap import trim_heap
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import Diverged, StepRow
from erase.training.teacher import Target, listed, teach
from plumbing.processes import ALONE, Team

ONE = torch.ones(())


def relabel_loss(model_pred: Tensor, relabel_pred: Tensor, weight: Tensor = ONE) -> Tensor:
    """MSE(eps_theta(x_t | c), sg[eps(x_t | c')]): c is to look like c'.

    `weight` is of each image, [B, 1, 1, 1]; 1 is the published loss.
    """
    return _weighted_mse(model_pred, relabel_pred.detach(), weight)


def retain_loss(model_pred: Tensor, target: Tensor, weight: Tensor = ONE) -> Tensor:
    """MSE(target, eps_theta(x_t | c)) on the retain set.

    The target is the true noise, which makes it the usual diffusion loss, as published; or the
    teacher's prediction, which leaves out the part of that loss that no weights can lower.
    """
    return _weighted_mse(model_pred, target, weight)


def saliency_loss(guided_pred: Tensor, target: Tensor) -> Tensor:
    """-MSE(target, guided prediction), summed over the images so that each counts alike."""
    return -mse_loss(guided_pred, target) * len(target)


def forget_saliency(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    forget: ForgetSet,
    *,
    guidance: float,
    batch_size: int,
    seed: int,
    micro_batch: int | None = None,
    team: Team = ALONE,
    progress: Callable[[int], object] = lambda images: None,
) -> dict[str, Tensor]:
    """|gradient of `saliency_loss` summed over one pass of the forget set|, in float32.

    `batch_size` images are drawn together, `micro_batch` of them seen at once, which the processes
    of a team share out.
    """
    schedule, scale = NoiseSchedule.of(sd.scheduler), sd.vae.config["scaling_factor"]
    no_prompt = encode_no_prompt(sd).to(sd.unet.device)
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[NoisyBatch]:
        for rows in torch.arange(len(forget)).split(batch_size):
            drawn = add_noise(schedule, scale, forget, rows, generator)
            for part in micro_batches(len(rows), micro_batch or batch_size, team):
                yield drawn[part].to(sd.unet.device)

    def loss(batch: NoisyBatch) -> Tensor:
        with training_arithmetic(sd.unet, torch.float32):
            guided = guided_prediction(sd.unet, *batch.inputs, no_prompt, guidance)
        progress(len(batch))
        return saliency_loss(guided, batch.target)

    sd.unet.requires_grad_(False)
    return accumulate_saliency(parameters, batches(), loss, team.add)


def erase(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    forget: ForgetSet,
    retain: RetainSet,
    *,
    steps: int,
    lr: float,
    linear_decay: bool,
    batch_size: int,
    alpha: float,
    frozen_teacher: bool,
    teach_retained: bool,
    noise_weight: float,
    seed: int,
    values: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
    micro_batch: int | None = None,
    teach_ahead: bool = True,
    compiled: bool = False,
    team: Team = ALONE,
    resume: tuple[list[StepRow], Mapping[str, Tensor]] | None = None,
    progress: Callable[[list[StepRow], MaskedOptimizer], object] = lambda log, optimizer: False,
    taught: Callable[[], object] = lambda: None,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train `sd.unet` in place on relabel_loss + alpha * retain_loss.

    Gives a row a step, and the optimiser, whose `merged` has the trained weights in float32.

    Only weights with a True in `mask` (bool tensors by parameter name) change; `values` has them in
    full precision, by name, for a UNet that is held in less. A step sees `batch_size` images of
    each set, `micro_batch` of each at once, in passes that torch.compile makes if `compiled`. The
    teacher is the original UNet, or the one being trained; with `teach_retained` its prediction is
    the target on the retain set too. A frozen teacher speaks before the training begins
    (`teach_ahead`), which calls `taught` after each step's worth and stores every target, or it is
    a copy of the UNet.

    The processes of a `team` share out each step's micro-batches and add up their gradients.
    `resume` is the log and the optimiser's state after some steps, as `progress` is shown them:
    what follows is then the same to the bit. `progress` ends the training by returning True; a loss
    or gradient that is not finite ends it as `Diverged`.
    """
    unet = sd.unet.eval().requires_grad_(False)
    schedule = NoiseSchedule.of(sd.scheduler)
    # No process of a team may be without images.
    micro_batch = min(micro_batch or batch_size, -(-batch_size // team.count))
    own = micro_batches(batch_size, micro_batch, team)

    log, state = resume or ([], {})
    start = len(log)

    def draws() -> Iterator[Draw]:
        everything = draw_steps(
            schedule,
            sd.vae.config["scaling_factor"],
            forget,
            retain,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
        )
        return islice(everything, start, None)

    copied = frozen_teacher and not teach_ahead
    teacher = copy.deepcopy(unet) if copied else unet
    # Put in once, not in every pass.
    with kernels.training_kernels(unet, dtype):
        targets = teach(teacher, draws(), own, teach_retained, dtype)
        if frozen_teacher and teach_ahead:
            targets = iter(listed(targets, taught))
        student = kernels.compiled(unet) if compiled else unet
        # A step inside the backward pass needs all of a step's images in that pass.
        optimizer = MaskedOptimizer(
            parameters,
            mask,
            lambda weights: torch.optim.Adam(weights, lr=lr, fused=True),
            values=values,
            in_backward=micro_batch == batch_size,
            reduce=team.add if team.count > 1 else None,
        )
        if state:
            optimizer.restore(state)
        with closing(optimizer):
            for step, draw in enumerate(draws(), start):
                started = time.perf_counter()
                step_lr = lr * (1 - step / steps) if linear_decay else lr
                optimizer.set_lr(step_lr)
                weights = [
                    schedule.noise_weight(images.timesteps, noise_weight)
                    for images in (draw.forget, draw.retain)
                ]
                losses = _backward(student, draw, next(targets), own, weights, alpha, dtype)
                optimizer.step()
                trim_heap(unet)
                team.add(losses)
                seconds = time.perf_counter() - started
                log.append(StepRow(step + 1, losses[0].item(), losses[1].item(), step_lr, seconds))
                # Asked of sums over all processes, so that they end together.
                if not (losses.isfinite().all() and optimizer.finite):
                    raise Diverged(log, optimizer)
                if progress(log, optimizer):
                    break
    unet.requires_grad_(False)
    return log, optimizer


def _backward(
    unet: Any,
    draw: Draw,
    target: list[Target],
    own: list[slice],
    weights: list[Tensor],
    alpha: float,
    dtype: torch.dtype,
) -> Tensor:
    """The gradients of a step, of this process's own micro-batches; its two losses, [2]."""
    losses = torch.zeros(2, device=unet.device)
    for rows, wanted in zip(own, target, strict=True):
        forgetting, retaining = _losses(unet, draw, wanted, weights, rows, dtype)
        losses += torch.stack([forgetting, retaining]).detach().to(losses)
        (forgetting + alpha * retaining).backward()
    return losses


def _losses(
    unet: Any, draw: Draw, target: Target, weights: list[Tensor], rows: slice, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """What some rows of either set contribute to a step's relabel_loss and retain_loss."""
    part = draw[rows].to(unet.device)
    with training_arithmetic(unet, dtype):
        # One pass over both sets: on a CPU a batch of 32 is quicker than two of 16.
        model_pred = predict(unet, *part.both().inputs)
    parts = []
    for i, loss in enumerate((relabel_loss, retain_loss)):
        share = weights[i][rows].sum() / weights[i].sum()
        wanted = widened(target[i].to(unet.device))
        pred = model_pred.split(len(part.forget))[i]
        parts.append(share * loss(pred, wanted, weights[i][rows].to(unet.device)))
    return parts[0], parts[1]


def _weighted_mse(model_pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    error = mse_loss(model_pred, target, reduction="none")
    return (weight * error).sum() / weight.expand_as(error).sum()
