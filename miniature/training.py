"""The one training loop behind all parts of the miniature: seeded by step, resumable, averaged."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

logger = logging.getLogger(__name__)


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(
    module: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    *,
    state: Path,
    steps: int,
    lr: float,
    seed: int = 0,
    weight_decay: float = 0.01,
    ema_decay: float = 0.0,
    save_every: int = 250,
    share: float = 1.0,
) -> None:
    """Train `module` in place with AdamW for `steps` calls of `loss`, resuming from `state`.

    `loss` gets a generator seeded by the step alone, so a resumed run draws what an
    uninterrupted one would have drawn. With `ema_decay` the averaged weights end up in `module`.
    `share` of the steps is run: less than 1 tries the recipe, and makes nothing of use.
    """
    steps = math.ceil(share * steps)
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    average = (
        AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema_decay)) if ema_decay else None
    )
    first, before = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        if average is not None:
            average.load_state_dict(saved["average"])
        first, before = saved["step"], saved["seconds"]
        logger.info("%s: resumed at step %d of %d", state.stem, first, steps)
    module.train()
    generator = torch.Generator()
    running, started = None, time.monotonic()
    bar = tqdm(range(first, steps), desc=state.stem, initial=first, total=steps, mininterval=5)
    for step in bar:
        generator.manual_seed((seed << 32) + step)
        torch.manual_seed((seed << 32) + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, lr)
        value = loss(generator)
        value.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update_parameters(module)
        running = value.item() if running is None else 0.98 * running + 0.02 * value.item()
        bar.set_postfix(loss=f"{running:.4f}", refresh=False)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            seconds = before + time.monotonic() - started
            save_state(state, step + 1, seconds, module, optimizer, average)
    if average is not None:
        module.load_state_dict(average.module.state_dict())
    module.eval()


def save_state(
    path: Path,
    step: int,
    seconds: float,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None,
) -> None:
    """Write everything that a resumed run needs; the old state survives until the new is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved: dict[str, Any] = {"step": step, "seconds": seconds, "module": module.state_dict()}
    saved["optimizer"] = optimizer.state_dict()
    if average is not None:
        saved["average"] = average.state_dict()
    torch.save(saved, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def load_kept(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` returned the first time, kept in the file `path`."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(make(), path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)
    return torch.load(path, weights_only=True)


def draw(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw `size` row numbers below `count`, with replacement."""
    return torch.randint(count, (size,), generator=generator)


def as_pixels(rows: Tensor) -> Tensor:
    """uint8 [B, 64, 64, 3] to float [B, 3, 64, 64] in [-1, 1].

    Contiguous, not channels last: there the backward of torch's CPU group norm is several times
    slower, and with it the training of the autoencoder by half.
    """
    return rows.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
