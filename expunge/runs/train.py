"""The training of a run: its progress bars, its saved state, and how it may end early."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm import tqdm

from erase.methods.method import numbers_for, sets_for
from erase.models.denoiser_files import denoiser_weights
from erase.run_folder.identity import without_places
from erase.run_folder.record import Stopped
from erase.training.drift import DriftProbe
from erase.training.loop import Kit
from erase.training.masked_optimizer import MaskedOptimizer
from erase.training.memory import TrainingPlan, smaller_plan
from erase.training.saved_state import Keeper, State
from erase.training.step_log import Diverged, StepRow
from erase.training.watch import LIMIT, Watch
from expunge.runs.job import Job
from expunge.runs.lesson import require_effect
from plumbing.errors import UsageError
from plumbing.signals import Interrupted, Request, deferred
from plumbing.whole_files import sha256_file

log = logging.getLogger(__name__)
STATE = "state.safetensors"


@dataclass(frozen=True)
class Trained:
    """What a training leaves."""

    rows: list[StepRow]
    """All steps, those that were taken back too."""
    optimizer: MaskedOptimizer | None
    """It has the trained weights; None if all are the original's again."""
    how: TrainingPlan
    """How it was trained at last."""
    drift: list[tuple[int, float]]
    stopped: Stopped | None


def train(
    job: Job,
    how: TrainingPlan,
    changed: Callable[[TrainingPlan], object] = lambda how: None,
    saved: Callable[[], object] = lambda: None,
) -> Trained:
    """Train as the settings say; resumes from a saved state, and calls `saved` after each.

    When memory runs out half as many images are taken at once, which `changed` is told of, from the
    last saved state on. A training that drifts too far, or whose numbers are no longer finite, is
    taken back to it.
    """
    keeper = Keeper(job.plan.out / STATE, *_key(job, how))
    keeper.saved = saved
    guard = _guard(job, how)
    while True:
        try:
            return _attempt(job, how, keeper, guard)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            smaller = smaller_plan(how) if job.team.count == 1 else None
            if smaller is None:
                raise UsageError(
                    f"memory ran out with {how.describe()}; lower --density or --batch-size, "
                    "choose --train-method xattn, or take a machine with more memory"
                ) from error
        # Out of the handler, whose traceback holds what there was no room for.
        how = smaller
        log.warning("memory ran out: going on with %s", how.describe())
        clear_device_cache(garbage_collection=True)
        _restore_base(job)
        if how.checkpointing:
            job.sd.denoiser.enable_gradient_checkpointing()
        changed(how)


def _attempt(job: Job, how: TrainingPlan, keeper: Keeper, guard: DriftProbe | None) -> Trained:
    """Train until something ends it, with the signals watched."""
    state = keeper.load()
    if state:
        log.info("going on after step %d, from %s", len(state.rows), keeper.path)
    drift = list(state.drift) if state else []
    watch = Watch(job.sd.denoiser, keeper, guard, job.gone, job.team, drift)
    steps = job.plan.settings.steps
    lower = f"try a --lr below {job.plan.settings.lr:g}"
    try:
        with deferred() as request:
            rows, optimizer = _steps(job, how, state, watch, request)
    except Diverged as diverged:
        stopped = Stopped("not finite", len(diverged.log), 0, steps, f"{diverged}; {lower}")
        return _taken_back(diverged.log, diverged.optimizer, stopped, how, watch, keeper)
    if watch.reason == "drift":
        told = (
            f"at step {len(rows)} the predictions for other prompts had drifted by "
            f"{watch.drift[-1][1]:.2f}, where {LIMIT:g} is as if each had been exchanged for "
            f"another prompt; {lower}, a higher --alpha, or --no-guard"
        )
        stopped = Stopped("drift", len(rows), 0, steps, told)
        return _taken_back(rows, optimizer, stopped, how, watch, keeper)
    stopped = None
    if watch.reason == "erased":
        told = f"at step {len(rows)} none of the images drawn of it showed the concept"
        stopped = Stopped("erased", len(rows), len(rows), steps, told)
    return Trained(rows, optimizer, how, watch.drift, stopped)


def _taken_back(
    rows: list[StepRow],
    optimizer: MaskedOptimizer,
    stopped: Stopped,
    how: TrainingPlan,
    watch: Watch,
    keeper: Keeper,
) -> Trained:
    """Put back the last saved weights, or with None for an optimiser the original's."""
    state = keeper.load()
    if state:
        optimizer.restore(state.tensors)
    stopped = replace(stopped, kept_step=len(state.rows) if state else 0)
    return Trained(rows, optimizer if state else None, how, watch.drift, stopped)


def _steps(
    job: Job, how: TrainingPlan, state: State | None, watch: Watch, request: Request
) -> tuple[list[StepRow], MaskedOptimizer]:
    """The method with its bars; a signal ends it after the step, once the state is saved."""
    settings, team = job.plan.settings, job.team
    done = len(state.rows) if state else 0
    off = not team.leads
    ahead = how.teach_ahead and job.method.cost(settings).frozen
    left = settings.steps - done
    teacher = tqdm(total=left, desc="teacher", unit="step", disable=off or not ahead)

    @cache
    def erasing() -> tqdm:
        teacher.close()
        return tqdm(total=settings.steps, initial=done, desc="erasing", unit="step", disable=off)

    def after_step(rows: list[StepRow], optimizer: MaskedOptimizer) -> bool:
        erasing().set_postfix({name: f"{loss:.4f}" for name, loss in rows[-1].losses.items()})
        erasing().update()
        require_effect(rows, settings.steps)
        if team.any(request.number is not None, job.sd.denoiser.device):
            erasing().close()
            saved = watch.save(rows, optimizer)
            note = f"step {saved} of {settings.steps} is saved, the same command resumes"
            raise Interrupted(request.number or signal.SIGTERM, note)
        return watch.look(rows, optimizer, settings.steps)

    def taught() -> None:
        teacher.update()
        if request.number:
            raise Interrupted(request.number)

    kit = Kit(
        dtype=job.plan.dtype,
        micro_batch=how.micro_batch,
        teach_ahead=how.teach_ahead,
        compiled=settings.compile,
        values=denoiser_weights(job.plan.source),
        team=team,
        resume=(list(state.rows), state.tensors) if state else None,
        progress=after_step,
        taught=taught,
    )
    erase, mask = job.method.erase, job.mask.by_name()
    given = sets_for(erase, job.sets) | numbers_for(erase, settings)
    with closing(teacher):
        found = erase(job.sd, job.parameters, mask, kit=kit, **given)
    erasing().close()
    return found


def _guard(job: Job, how: TrainingPlan) -> DriftProbe | None:
    """The original's predictions for the guard's prompts, before anything is trained."""
    if job.guard is None:
        return None
    return DriftProbe.of(
        job.sd.denoiser,
        job.sd.schedule,
        job.sd.vae.config["scaling_factor"],
        job.sets["retain"],
        job.guard,
        at_once=how.micro_batch,
        dtype=job.plan.dtype,
    )


@torch.no_grad()
def _restore_base(job: Job) -> None:
    """Undo what an update that broke off in the middle has left."""
    base = denoiser_weights(job.plan.source)
    for name, parameter in job.parameters.items():
        parameter.grad = None
        parameter.copy_(base[name])


def _key(job: Job, how: TrainingPlan) -> tuple[str, dict[str, str]]:
    """What two trainings must have in common for one to go on from the other's state.

    Not how many images are seen at once, which run.json records and memory may change.
    """
    parts = [without_places(job.plan.identity), sha256_file(job.plan.out / "mask.safetensors")]
    environment = {
        "torch": torch.__version__,
        "processes": str(job.team.count),
        "weights": how.weights,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(), environment
