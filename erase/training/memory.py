"""How to train within the memory there is: an estimate of every part, and one rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from erase.models.architectures.known import architecture_of, of_denoiser
from erase.models.part_config import build
from erase.training.masked_optimizer import places_bytes
from plumbing.errors import UsageError

_CGROUP = Path("/sys/fs/cgroup")
_MARGIN = 0.9
"""Share of the free memory that an estimate may fill."""


@dataclass(frozen=True)
class TrainingPlan:
    """How a denoiser is trained; what the method computes is the same, rounding apart."""

    weights: str
    """Type that it is held in, by torch's name; the trained weights have float32 copies."""
    micro_batch: int
    """Images of a batch in one pass; several passes make it up."""
    checkpointing: bool
    """Whether activations are computed again in the backward pass instead of kept."""
    teach_ahead: bool
    """Whether a frozen teacher's targets are all computed first, instead of by a copy of it."""
    gigabytes: dict[str, float]
    """The estimate, by part."""

    @property
    def total(self) -> float:
        """Of all parts, in gigabytes."""
        return sum(self.gigabytes.values())

    def describe(self) -> str:
        """One line for people."""
        parts = [f"weights in {self.weights}", f"{self.micro_batch} of a batch at once"]
        parts += ["activations recomputed"] if self.checkpointing else []
        parts += [] if self.teach_ahead else ["a copy of the UNet as teacher"]
        return f"{', '.join(parts)}; needs about {self.total:.1f} GB"


def plan_training(
    denoiser: Any,
    *,
    parameters: Sequence[Tensor],
    selected: int,
    batch_size: int,
    steps: int,
    dtype: torch.dtype,
    frozen_teacher: bool,
    held: int,
    rows: float = 2,
    ahead: bool = True,
    processes: int = 1,
    micro_batch: int | None = None,
    free: float | None = None,
) -> TrainingPlan:
    """The fastest way that fits into `free` gigabytes (default: what the device has free).

    One rule: first all of a batch at once, since then weights are updated within the backward pass
    and no gradients are kept; then ever smaller parts of it; then the same with activations
    computed twice. If nothing fits, a UsageError says what the least would need. `selected` is how
    many weights of the `parameters` are trained; a given `micro_batch` is kept. An image of a batch
    is `rows` of a pass, and a teacher that speaks `ahead` leaves `held` tensors of it. Each of
    several `processes` has its share of a batch and keeps all gradients, to add the others' to
    them.
    """
    batch_size = -(-batch_size // processes)
    count, trainable = denoiser.num_parameters(), sum(p.numel() for p in parameters)
    free = free_gigabytes(denoiser.device) if free is None else free
    copy = count * dtype.itemsize / 1e9
    targets = _targets(denoiser, batch_size * held, steps, dtype) if ahead else float("inf")
    ahead = not frozen_teacher or targets <= copy
    always = {
        "weights": copy,
        "teacher": min(targets, copy) if frozen_teacher else 0.0,
        "optimiser": (selected * 12 + places_bytes(selected, trainable)) / 1e9,
    }
    # What is there already is not free, and not needed again.
    there = 0.0 if denoiser.device.type == "meta" else count * denoiser.dtype.itemsize / 1e9
    plan = None
    for size, checkpointing, activations in _ways(denoiser, batch_size, rows, dtype, micro_batch):
        parts = {
            **always,
            "activations": activations,
            "gradients": _gradients(parameters, dtype, whole=size < batch_size or processes > 1),
        }
        plan = TrainingPlan(str(dtype)[6:], size, checkpointing, ahead, _rounded(parts))
        if plan.total - there <= _MARGIN * free:
            return plan
    assert plan is not None
    raise _short("training", plan.total - there, free)


def smaller_plan(plan: TrainingPlan) -> TrainingPlan | None:
    """The next that takes less memory, for when the estimate was too low; None after the last."""
    parts = dict(plan.gigabytes)
    if plan.micro_batch > 1:
        half = plan.micro_batch // 2
        parts["activations"] *= half / plan.micro_batch
        return replace(plan, micro_batch=half, gigabytes=_rounded(parts))
    return None if plan.checkpointing else replace(plan, checkpointing=True)


def plan_saliency(
    denoiser: Any,
    *,
    parameters: Sequence[Tensor],
    batch_size: int,
    guided: bool,
    free: float | None = None,
) -> tuple[int, bool]:
    """Images in one pass of the saliency, in float32, and whether to compute activations twice.

    By the same rule as `plan_training`; guidance makes two rows of each image.
    """
    free = free_gigabytes(denoiser.device) if free is None else free
    gradients = _gradients(parameters, torch.float32, whole=True)
    rows = 2 if guided else 1
    needed = 0.0
    for size, checkpointing, activations in _ways(denoiser, batch_size, rows, torch.float32, None):
        needed = gradients + activations
        if needed <= _MARGIN * free:
            return size, checkpointing
    raise _short("the mask", needed, free)


def _ways(
    denoiser: Any,
    batch_size: int,
    rows: float,
    dtype: torch.dtype,
    micro_batch: int | None,
) -> Iterator[tuple[int, bool, float]]:
    """Images at once, whether activations are computed twice, and their gigabytes; best first."""
    whole = _activations(denoiser, dtype, checkpointing=False)
    least = _activations(denoiser, dtype, checkpointing=True) + whole / 10
    for checkpointing, per_row in ((False, whole), (True, least)):
        for size in [micro_batch] if micro_batch else _halved(batch_size):
            yield size, checkpointing, rows * size * per_row


def _short(what: str, needed: float, free: float) -> UsageError:
    return UsageError(
        f"{what} needs about {needed:.1f} GB more, even with the smallest batch at once, and "
        f"{free:.1f} GB are free; lower --density, choose --train-method xattn, or take a machine "
        "with more memory"
    )


def free_gigabytes(device: torch.device) -> float:
    """Memory that can still be had: of the GPU, or of this machine and its control group."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    return min(psutil.virtual_memory().available, left_to_group(_CGROUP)) / 1e9


def left_to_group(group: Path) -> float:
    """Bytes that a Linux control group (version 2) leaves its processes; infinite without one."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # Pages of files that were read count as used, and give way when memory is asked for.
        return limit - used + int(kinds["active_file"]) + int(kinds["inactive_file"])
    except (OSError, ValueError, KeyError):
        return float("inf")


def _activations(denoiser: Any, dtype: torch.dtype, *, checkpointing: bool) -> float:
    """Gigabytes that autograd keeps of one image, counted on a denoiser without content."""
    name = architecture_of(denoiser).denoiser_class
    return _count_activations(name, denoiser.to_json_string(), dtype, checkpointing)


@cache
def _count_activations(name: str, told: str, dtype: torch.dtype, checkpointing: bool) -> float:
    """The same of a config.json: once a process, since torch never frees what it counts with."""
    config, architecture = json.loads(told), of_denoiser(name)
    assert architecture is not None
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode(), _default(dtype), saved_tensors_hooks(keep, lambda tensor: tensor):
        shell = build(architecture.kind(architecture.denoiser), config)
        if checkpointing:
            shell.enable_gradient_checkpointing()
        architecture.predict(shell, *architecture.example(config))
        for parameter in shell.parameters():
            # Seen from a transposed view, it is no Parameter.
            kept.pop(parameter.untyped_storage()._cdata, None)
        return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 1e9


def _gradients(parameters: Sequence[Tensor], held: torch.dtype, *, whole: bool) -> float:
    """Gigabytes of gradients: all of them, or what one bucket of the optimiser has at a time."""
    sizes = [parameter.numel() for parameter in parameters]
    return (sum(sizes) if whole else 2 * max(sizes)) * held.itemsize / 1e9


def _targets(denoiser: Any, images: int, steps: int, dtype: torch.dtype) -> float:
    """Gigabytes of all that a teacher says in a training."""
    latents, _, _ = architecture_of(denoiser).example(denoiser.config)
    return images * steps * latents.numel() * dtype.itemsize / 1e9


def _halved(size: int) -> Iterator[int]:
    while size:
        yield size
        size //= 2


def _rounded(parts: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in parts.items()}


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
