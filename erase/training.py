"""The training of a run: how it fits into memory, its progress bars, the weights it leaves."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from erase import prepare
from erase.checkpoint import StableDiffusion
from erase.datasets import ForgetSet, RetainSet
from erase.diffusion import NoiseSchedule
from erase.export.unet import write_unet
from erase.interruption import Interrupted, deferred
from erase.ldm_families import unet_architecture
from erase.memory import TrainingPlan, plan_training
from erase.methods import salun
from erase.opened import unet_weights
from erase.optim import MaskedOptimizer
from erase.options import SalUnConfig
from erase.publish import public
from erase.saliency import SaliencyMask
from erase.source import sha256_file
from erase.team import Team
from erase.training_state import Keeper
from erase.weights import Computed, Spec

log = logging.getLogger(__name__)
STATE = "state.safetensors"


def plan_run(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    mask: SaliencyMask,
    plan: prepare.Plan,
    settings: SalUnConfig,
    micro_batch: int | None,
    team: Team,
) -> TrainingPlan:
    """How to train in the memory that is free; puts the UNet in that shape."""
    training = plan_training(
        sd.unet,
        parameters=list(parameters.values()),
        selected=mask.kept,
        batch_size=settings.batch_size or 1,
        processes=team.count,
        steps=settings.steps or 1,
        dtype=plan.dtype,
        frozen_teacher=settings.teacher == "frozen",
        teach_retained=settings.retain_target == "teacher",
        micro_batch=micro_batch,
    )
    # Not diffusers' own `to`, which warns of parts to be kept in float32 where there are none.
    nn.Module.to(sd.unet, getattr(torch, training.weights))
    if training.checkpointing:
        sd.unet.enable_gradient_checkpointing()
    return training


def train(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    mask: SaliencyMask,
    forget: ForgetSet,
    retain: RetainSet,
    plan: prepare.Plan,
    settings: SalUnConfig,
    training: TrainingPlan,
    team: Team,
) -> tuple[list[salun.StepRow], MaskedOptimizer]:
    """SalUn as the settings say, with a bar for the teacher and one for the steps."""
    assert settings.steps
    assert settings.lr
    assert settings.batch_size
    assert settings.alpha is not None
    assert settings.noise_weight is not None
    frozen = settings.teacher == "frozen"
    keeper = Keeper(plan.out / STATE, _key(plan, training, team))
    state = keeper.load()
    done = len(state[0]) if state else 0
    if done:
        log.info("going on after step %d, from %s", done, keeper.path)
    ahead = frozen and training.teach_ahead
    left = settings.steps - done
    off = not team.leads
    teacher = tqdm(total=left, desc="teacher", unit="step", disable=off or not ahead)

    @cache
    def erasing() -> tqdm:
        teacher.close()
        return tqdm(total=settings.steps, initial=done, desc="erasing", unit="step", disable=off)

    with deferred() as request, closing(teacher):

        def show(rows: list[salun.StepRow], optimizer: MaskedOptimizer) -> None:
            row = rows[-1]
            losses = {"forget": f"{row.forget_loss:.4f}", "retain": f"{row.retain_loss:.4f}"}
            erasing().set_postfix(losses)
            erasing().update()
            if team.any(request.number is not None, sd.unet.device):
                erasing().close()
                if team.leads:
                    keeper.save(rows, optimizer)
                note = f"step {row.step} of {settings.steps} is saved, the same command goes on"
                raise Interrupted(request.number or signal.SIGTERM, note)
            if team.leads:
                keeper.after_step(rows, optimizer)

        def taught() -> None:
            teacher.update()
            if request.number:
                raise Interrupted(request.number)

        rows, optimizer = salun.erase(
            sd,
            parameters,
            mask.by_name(),
            forget,
            retain,
            steps=settings.steps,
            lr=settings.lr,
            linear_decay=settings.lr_schedule == "linear",
            batch_size=settings.batch_size,
            alpha=settings.alpha,
            frozen_teacher=frozen,
            teach_retained=settings.retain_target == "teacher",
            noise_weight=settings.noise_weight,
            seed=settings.seed,
            dtype=plan.dtype,
            micro_batch=training.micro_batch,
            teach_ahead=training.teach_ahead,
            team=team,
            resume=state,
            progress=show,
            taught=taught,
        )
        erasing().close()
        return rows, optimizer


def _key(plan: prepare.Plan, training: TrainingPlan, team: Team) -> str:
    """What two trainings must have in common for one to go on from the other's state."""
    parts = [plan.identity, sha256_file(plan.out / "mask.safetensors"), training.weights]
    parts += [team.count] if team.count > 1 else []
    parts += [training.micro_batch, training.checkpointing, torch.__version__]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_weights(
    sd: StableDiffusion, optimizer: MaskedOptimizer, plan: prepare.Plan, settings: SalUnConfig
) -> None:
    """The base's own weights in float32, with the trained ones in their places."""
    base = unet_weights(plan.source)
    write_unet(
        Computed(
            {name: Spec(torch.float32, spec.shape) for name, spec in base.specs.items()},
            lambda name: optimizer.merged(name, base[name]),
        ),
        json.loads(sd.unet.to_json_string()),
        plan.out / "unet",
        _weights_metadata(sd, plan, settings),
    )


def _weights_metadata(
    sd: StableDiffusion, plan: prepare.Plan, settings: SalUnConfig
) -> dict[str, str]:
    predicted = NoiseSchedule.of(sd.scheduler).prediction_type
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"{Path(plan.source.id).name} without {plan.concept.name}",
        "modelspec.architecture": unet_architecture(sd.unet.config, predicted),
        "modelspec.implementation": "diffusers",
        "modelspec.description": f"{plan.concept.name} erased with SalUn by expunge",
        "expunge.concept": plan.concept.name,
        "expunge.method": "salun",
        "expunge.base": plan.source.digest,
        "expunge.config": json.dumps(public(plan.identity["config"]), sort_keys=True),
        "expunge.seed": str(settings.seed),
    }
