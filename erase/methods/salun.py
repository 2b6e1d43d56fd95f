"""SalUn (Fan et al., 2024): relabel the concept, keep the rest, touch only salient weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from erase.image_sets.datasets import AnchorSet, ForgetSet, RetainSet
from erase.methods.method import Cost, Sets, Trained
from erase.models.bundle import Bundle
from erase.models.prediction import guided_prediction, training_arithmetic
from erase.saliency.accumulate import accumulate_saliency
from erase.tensors.bits import widened
from erase.training.adversary import Adversary
from erase.training.batches import (
    Draw,
    NoisyBatch,
    add_noise,
    draw_steps,
    join_batches,
    micro_batches,
)
from erase.training.loop import Before, Kit, rate, train
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.step_log import StepRow
from erase.training.teacher import Target, Teacher

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
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    forget: RetainSet,
    kit: Kit,
    *,
    guidance: float,
    batch_size: int,
    seed: int,
) -> dict[str, Tensor]:
    """|gradient of `saliency_loss` summed over one pass of the forget set|, in float32."""
    schedule, scale = sd.schedule, sd.vae.config["scaling_factor"]
    no_prompt = sd.encode_nothing().to(sd.denoiser.device)
    generator = torch.Generator().manual_seed(seed)

    def batches() -> Iterator[NoisyBatch]:
        for rows in torch.arange(len(forget)).split(batch_size):
            drawn = add_noise(schedule, scale, forget, rows, generator)
            for part in micro_batches(len(rows), kit.micro_batch or batch_size, kit.team):
                yield drawn[part].to(sd.denoiser.device)

    def loss(batch: NoisyBatch) -> Tensor:
        with training_arithmetic(sd.denoiser, torch.float32):
            guided = guided_prediction(sd.denoiser, *batch.inputs, no_prompt, guidance)
        kit.seen(len(batch))
        return saliency_loss(guided, batch.target)

    sd.denoiser.requires_grad_(False)
    return accumulate_saliency(parameters, batches(), loss, kit.team.add)


def step_losses(
    model_pred: Tensor, target: Target, weights: Sequence[Tensor], rows: slice
) -> list[Tensor]:
    """What some rows of either set add to a step's relabel_loss and retain_loss.

    `model_pred` is of these rows of the forget set, then of the retain set; `weights`, [B, 1, 1, 1]
    each, are of a whole step's images.
    """
    parts = zip((relabel_loss, retain_loss), model_pred.chunk(2), target, weights, strict=True)
    found = []
    for loss, pred, wanted, weight in parts:
        share = weight[rows].sum() / weight.sum()
        wanted = widened(wanted.to(pred.device))
        found.append(share * loss(pred, wanted, weight[rows].to(pred.device)))
    return found


def attack_loss(model_pred: Tensor, relabel_pred: Tensor, weight: Tensor, rows: slice) -> Tensor:
    """What the `rows` [b] of a step's forget images [B] add to its loss under adversaries' prompts.

    Each counts as much as it does in the step's relabel_loss, whose targets are the same.
    """
    wanted = widened(relabel_pred.to(model_pred.device))
    error = (model_pred - wanted).square().mean(dim=(1, 2, 3), keepdim=True)
    return (weight[rows].to(error.device) * error).sum() / weight.sum()


def anchor_rows(batch_size: int, share: float) -> int:
    """How many of a step's forget images are of the anchor set; one at least is of the concept."""
    return min(round(share * batch_size), batch_size - 1)


def erase(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    mask: Mapping[str, Tensor],
    forget: ForgetSet,
    retain: RetainSet,
    kit: Kit,
    anchor: AnchorSet | None = None,
    *,
    steps: int,
    lr: float,
    lr_schedule: str,
    batch_size: int,
    alpha: float,
    teacher: str,
    retain_target: str,
    noise_weight: float,
    relabel_share: float = 0.0,
    adversaries: int = 0,
    mix: float = 0.0,
    seed: int,
) -> tuple[list[StepRow], MaskedOptimizer]:
    """Train `sd.denoiser` in place on relabel_loss + alpha * retain_loss, where `mask` is True.

    A step sees `batch_size` images of each set. The `teacher` is the `frozen` original, or the
    `current` model; `retain_target` is the true `noise` or the `teacher`'s prediction. An error at
    a noisy timestep counts 1/SNR times, up to `noise_weight`.

    A `relabel_share` of the forget images are of the `anchor` set: they show what forget prompts
    are relabelled to, since that is where a sampler goes that is led away from the concept. The
    others are seen once more, with the same targets, under as many text embeddings as there are
    `adversaries`, which seek the concept; see `training.adversary`. See `training.loop.train` for
    what comes back. Images of a share `mix` are seen under other prompts than their own; see
    `training.batches.draw_steps`.
    """
    schedule, scale = sd.schedule, sd.vae.config["scaling_factor"]
    anchors = anchor_rows(batch_size, relabel_share)
    drawn = {"steps": steps, "batch_size": batch_size, "seed": seed}
    drawn |= {"anchors": anchors, "mix": mix, "mix_retain": retain_target == "teacher"}
    attacked = batch_size - anchors if adversaries else 0
    foe = _adversary(forget, adversaries, seed) if adversaries else None

    def ask(denoiser: Any, part: Draw) -> Target:
        if retain_target == "noise":
            return kit.ask(denoiser, part.relabelled()), part.retain.target.cpu()
        both = kit.ask(denoiser, join_batches(part.relabelled(), part.retain))
        return tuple(both.split(len(part.forget)))

    def losses(
        student: Any, draw: Draw, rows: slice, target: Target
    ) -> tuple[Tensor, dict[str, Tensor]]:
        part = draw[rows]
        seen, own = part.both(), slice(rows.start, max(rows.start, min(rows.stop, attacked)))
        if foe:
            asked = part.forget[: own.stop - own.start]
            told = foe.told(asked.conditioning, own.start)
            seen = join_batches(seen, replace(asked, conditioning=told))
        # One pass over both sets: on a CPU a batch of 32 is quicker than two of 16.
        model_pred = kit.predict(student, seen.to(student.device))
        weights = [
            schedule.noise_weight(images.timesteps, noise_weight)
            for images in (draw.forget, draw.retain)
        ]
        plain, found = model_pred[: 2 * len(part.forget)], model_pred[2 * len(part.forget) :]
        forgetting, retaining = step_losses(plain, target, weights, rows)
        terms = {"forget": forgetting, "retain": retaining}
        if foe:
            terms["attack"] = attack_loss(found, target[0][: len(found)], weights[0], own)
        return forgetting + alpha * retaining + terms.get("attack", 0), terms

    def attack(student: Any, draw: Draw) -> None:
        assert foe
        concept = draw.forget[:attacked].to(student.device)
        own = micro_batches(attacked, kit.micro_batch or attacked, kit.team)
        foe.step(lambda batch: kit.predict(student, batch), concept, own, kit.team.add)

    return train(
        kit,
        sd.denoiser,
        parameters,
        mask,
        partial(draw_steps, schedule, scale, forget, retain, anchor, **drawn),
        losses,
        batch_size=batch_size,
        lr=rate(lr, lr_schedule, steps),
        teacher=Teacher(ask, teacher == "frozen"),
        before=Before(attack, foe.tensors) if foe else None,
    )


def _adversary(forget: ForgetSet, count: int, seed: int) -> Adversary:
    """One begins at the forget prompts, the others on the way to what is drawn instead."""
    first = forget.conditioning[torch.zeros(1, dtype=torch.long)].embeddings
    answer = forget.relabel_conditioning[forget.relabel_choices[0][:1]].embeddings
    share = torch.linspace(0, 1, count).view(-1, 1, 1)
    return Adversary(share * (answer - first), seed=seed)


def _weighted_mse(model_pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    error = mse_loss(model_pred, target, reduction="none")
    return (weight * error).sum() / weight.expand_as(error).sum()


def _cost(settings: Any) -> Cost:
    sets = 2 if settings.retain_target == "teacher" else 1
    shown = settings.batch_size - anchor_rows(settings.batch_size, settings.relabel_share)
    found = shown if settings.adversaries else 0
    return Cost(
        trained=2 + found / settings.batch_size,
        taught=sets,
        held=sets,
        frozen=settings.teacher == "frozen",
        beside=found,
    )


def _sets(settings: Any) -> tuple[Sets, ...]:
    # A mask alone has no share.
    shown = getattr(settings, "relabel_share", 0.0)
    return ("forget", "anchor", "retain") if shown else ("forget", "retain")


METHOD = Trained("SalUn", erase, _cost, _sets, lambda settings: settings.relabel)
