"""Whether a run fits into memory and onto the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from erase.methods.method import Cost
from erase.models.bundle import Bundle
from erase.run_folder.folder import DENOISERS
from erase.training.memory import TrainingPlan, free_gigabytes, plan_training
from expunge.runs.job import Job
from expunge.runs.plan import Plan
from expunge.runs.roles import images_of
from plumbing.disk_space import Need, require_space
from plumbing.processes import Team

_FLOAT = 4
_STATE = 3
"""Floats a selected weight: itself and Adam's two moments."""
_LINE = 128
"""Bytes that the header of a file says of an image or a prompt in it."""


def require_memory(
    sd: Bundle,
    parameters: Mapping[str, Tensor],
    selected: int,
    plan: Plan,
    cost: Cost,
    team: Team,
) -> TrainingPlan:
    """Refuse, as a UsageError with numbers, a training that cannot fit, before sets are drawn.

    `selected` is how many of the parameters' weights are to be trained. Returns how it would be,
    by the memory that is free now.
    """
    released = sum(p.nbytes for part in sd.encoders for p in part.parameters()) / 1e9
    free = free_gigabytes(sd.denoiser.device) + (0 if plan.settings.until_erased else released)
    size = plan.settings.micro_batch
    return _plan(sd, parameters, selected, plan, cost, team, size, free)


def plan_run(
    job: Job, parameters: Mapping[str, Tensor], selected: int, micro_batch: int | None
) -> TrainingPlan:
    """How to train in the memory that is free; puts the denoiser in that shape."""
    denoiser, plan = job.sd.denoiser, job.plan
    how = _plan(
        job.sd,
        parameters,
        selected,
        plan,
        job.method.cost(plan.settings),
        job.team,
        micro_batch,
    )
    # Not diffusers' own `to`, which warns of parts to be kept in float32 where there are none.
    for part in (denoiser, *(job.sd.encoders if job.gone else ())):
        nn.Module.to(part, getattr(torch, how.weights))
    if how.checkpointing:
        denoiser.enable_gradient_checkpointing()
    return how


def _plan(
    sd: Bundle,
    parameters: Mapping[str, Tensor],
    selected: int,
    plan: Plan,
    cost: Cost,
    team: Team,
    micro_batch: int | None,
    free: float | None = None,
) -> TrainingPlan:
    return plan_training(
        sd.denoiser,
        parameters=list(parameters.values()),
        selected=selected,
        batch_size=plan.settings.batch_size,
        processes=team.count,
        steps=plan.settings.steps,
        dtype=plan.dtype,
        frozen_teacher=cost.frozen,
        held=cost.held,
        rows=cost.trained,
        ahead=cost.ahead,
        micro_batch=micro_batch,
        free=free,
    )


def require_disk(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    plan: Plan,
    roles: Sequence[str],
    *,
    trained: int | None,
    erases: bool = True,
) -> None:
    """Say what `erase` or `mask` will write and what is free; UsageError if it does not fit."""
    require_space(disk_needs(sd, parameters, plan, roles, trained=trained, erases=erases))


def disk_needs(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    plan: Plan,
    roles: Sequence[str],
    *,
    trained: int | None,
    erases: bool = True,
) -> list[Need]:
    """What `erase` or `mask` will write, folder by folder.

    `roles` are the sets that are drawn; `trained` is how many weights are, None without training.
    What an unfinished or an earlier run left there is used again or gives
    way, and is taken off.
    """
    total = sum(parameter.numel() for parameter in parameters.values())
    files = {"mask": total / 8}
    if trained is not None:
        # One stays until the next is whole.
        state = _STATE * _FLOAT * trained
        files |= {"state": state, "next state": state}
    if erases:
        files["weights"] = _FLOAT * sd.denoiser.num_parameters()
    flag = "--out" if plan.data.cache is None else "--cache"
    apart = [plan.out / name for name in ("mask.safetensors", "state.safetensors", *DENOISERS)]
    sets = {f"{role} set": _set_bytes(sd, plan, role) for role in roles}
    return [
        Need("--out", plan.out, files, there=sum(map(_allocated, apart))),
        Need(flag, plan.cache, sets, there=_allocated(plan.cache), many=True),
    ]


def _set_bytes(sd: Bundle, plan: Plan, role: str) -> float:
    """What the images and prompts of a set take, encoded."""
    given, count = plan.captions.get(role), images_of(role, plan.data, plan.captions)
    prompts = plan.concept.retain_prompts if role == "retain" else plan.concept.forget_prompts
    # An anchor may be drawn for each image anew.
    mixed = getattr(plan.settings, "mix", 0) > 0
    most = count if role == "anchor" else len(prompts if mixed else prompts[:count])
    if given:
        most = len({*given.values(), *(prompts if mixed else ())})
    return count * _image(sd) + most * _prompt(sd)


def _image(sd: Bundle) -> int:
    """Bytes of an encoded image: mean and log-variance of its latents, and its line in a header."""
    channels = sd.vae.config["latent_channels"]
    height, width = sd.architecture.latent_size(sd.denoiser.config)
    return 2 * channels * height * width * _FLOAT + _LINE


def _prompt(sd: Bundle) -> int:
    """Bytes of an encoded prompt."""
    return sum(tensor.nbytes + _LINE for _, tensor in sd.encode(("",)).tensors())


def _allocated(place: Path) -> int:
    """Bytes that a file, or all in a folder, takes on disk, holes left out."""
    with suppress(OSError):
        found = os.stat(place)
        if not place.is_dir():
            return getattr(found, "st_blocks", found.st_size // 512) * 512
        return sum(_allocated(inner) for inner in place.iterdir())
    return 0
