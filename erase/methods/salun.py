"""SalUn (Fan et al., 2024): relabel the concept, keep the rest, touch only salient weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.checkpoint import StableDiffusion
from erase.conditioning import Conditioning, encode_no_prompt, join
from erase.datasets import ForgetSet, RetainSet
from erase.diffusion import (
    NoiseSchedule,
    guided_prediction,
    predict,
    sample_latents,
    training_arithmetic,
)
from erase.optim import MaskedOptimizer
from erase.saliency import accumulate_saliency
from prompts.errors import UsageError

ONE = torch.ones(())


@dataclass(frozen=True)
class StepRow:
    """One training step, as `train_log.jsonl` has it."""

    step: int
    forget_loss: float
    retain_loss: float
    lr: float
    seconds: float


@dataclass(frozen=True)
class NoisyBatch:
    """Noised images: what a UNet sees of them, and what it should say; all [B, …]."""

    noisy_latents: Tensor
    timesteps: Tensor
    conditioning: Conditioning
    target: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Conditioning]:
        """What a UNet is called with."""
        return self.noisy_latents, self.timesteps, self.conditioning

    def first(self, count: int) -> NoisyBatch:
        """The first images alone."""
        return NoisyBatch(*(each[:count] for each in vars(self).values()))


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
    progress: Callable[[int], object] = lambda images: None,
) -> dict[str, Tensor]:
    """|gradient of `saliency_loss` summed over one pass of the forget set|, in float32."""
    schedule = NoiseSchedule.of(sd.scheduler)
    no_prompt = encode_no_prompt(sd).to(sd.unet.device)
    generator = torch.Generator().manual_seed(seed)

    def loss(rows: Tensor) -> Tensor:
        batch = _noise(sd, schedule, forget, rows, generator)
        with training_arithmetic(sd.unet, torch.float32):
            guided = guided_prediction(sd.unet, *batch.inputs, no_prompt, guidance)
        progress(len(rows))
        return saliency_loss(guided, batch.target)

    sd.unet.requires_grad_(False)
    return accumulate_saliency(parameters, torch.arange(len(forget)).split(batch_size), loss)


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
    dtype: torch.dtype = torch.float32,
    progress: Callable[[StepRow], object] = lambda row: None,
) -> list[StepRow]:
    """Train `sd.unet` in place on relabel_loss + alpha * retain_loss; a row a step.

    Only weights with a True in `mask` (bool tensors by parameter name) change. A step sees
    `batch_size` images of each set. The teacher is the original UNet, or the one being trained;
    with `teach_retained` its prediction is the target on the retain set too.
    """
    unet = sd.unet.eval().requires_grad_(False)
    teacher = copy.deepcopy(unet) if frozen_teacher else unet
    optimizer = MaskedOptimizer(parameters, mask, lambda weights: torch.optim.Adam(weights, lr=lr))
    schedule = NoiseSchedule.of(sd.scheduler)
    generator = torch.Generator().manual_seed(seed)
    forget_rows = _endless_batches(len(forget), batch_size, generator)
    retain_rows = _endless_batches(len(retain), batch_size, generator)
    log = []
    for step in range(steps):
        started = time.perf_counter()
        rows = next(forget_rows)
        to_forget = _noise(sd, schedule, forget, rows, generator)
        relabels = _draw_relabels(forget, rows, generator).to(unet.device)
        to_retain = _noise(sd, schedule, retain, next(retain_rows), generator)
        step_lr = lr * (1 - step / steps) if linear_decay else lr

        # One pass over both sets: on a CPU a batch of 32 is quicker than two of 16.
        both = _join(to_forget, to_retain)
        taught = _join(replace(to_forget, conditioning=relabels), to_retain)
        taught = taught if teach_retained else taught.first(batch_size)
        with training_arithmetic(unet, dtype):
            with torch.no_grad():
                targets = predict(teacher, *taught.inputs)
            model_pred = predict(unet, *both.inputs)
        forget_pred, retain_pred = model_pred.split(batch_size)
        weights = schedule.noise_weight(both.timesteps, noise_weight).to(unet.device)
        forgetting = relabel_loss(forget_pred, targets[:batch_size], weights[:batch_size])
        retain_target = targets[batch_size:] if teach_retained else to_retain.target
        retaining = retain_loss(retain_pred, retain_target, weights[batch_size:])
        if not torch.isfinite(forgetting + retaining):
            raise UsageError(f"--lr {lr}: the loss is not finite at step {step + 1}; lower it")
        (forgetting + alpha * retaining).backward()
        optimizer.step(step_lr)

        seconds = time.perf_counter() - started
        row = StepRow(step + 1, forgetting.item(), retaining.item(), step_lr, seconds)
        log.append(row)
        progress(row)
    unet.requires_grad_(False)
    return log


def _noise(
    sd: StableDiffusion,
    schedule: NoiseSchedule,
    images: RetainSet,
    rows: Tensor,
    generator: torch.Generator,
) -> NoisyBatch:
    """Draw latents, timesteps and noise for some rows of a set, and mix them into x_t."""
    mean, logvar = images.mean[rows], images.logvar[rows]
    # Drawn on the CPU, so that a seed means the same on every device.
    draw, noise = (torch.randn(mean.shape, generator=generator) for _ in range(2))
    timesteps = torch.randint(len(schedule), (len(rows),), generator=generator)
    latents = sample_latents(mean, logvar, draw, sd.vae.config["scaling_factor"])
    batch = NoisyBatch(
        noisy_latents=schedule.add_noise(latents, noise, timesteps),
        timesteps=timesteps,
        conditioning=images.conditioning[images.prompt_index[rows]],
        target=schedule.prediction_target(latents, noise, timesteps),
    )
    device = sd.unet.device
    return NoisyBatch(*(each.to(device) for each in vars(batch).values()))


def _weighted_mse(model_pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    error = mse_loss(model_pred, target, reduction="none")
    return (weight * error).sum() / weight.expand_as(error).sum()


def _join(a: NoisyBatch, b: NoisyBatch) -> NoisyBatch:
    return NoisyBatch(
        noisy_latents=torch.cat([a.noisy_latents, b.noisy_latents]),
        timesteps=torch.cat([a.timesteps, b.timesteps]),
        conditioning=join([a.conditioning, b.conditioning]),
        target=torch.cat([a.target, b.target]),
    )


def _draw_relabels(forget: ForgetSet, rows: Tensor, generator: torch.Generator) -> Conditioning:
    """That of a relabel prompt for each row, drawn at random from its own."""
    drawn = []
    for prompt in forget.prompt_index[rows].tolist():
        choices = forget.relabel_choices[prompt]
        drawn.append(choices[torch.randint(len(choices), (), generator=generator)])
    return forget.relabel_conditioning[torch.stack(drawn)]


def _endless_batches(count: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of row numbers, always full: one shuffled pass over all rows after the other."""
    rows = torch.empty(0, dtype=torch.long)
    while True:
        while len(rows) < batch_size:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:batch_size]
        rows = rows[batch_size:]
