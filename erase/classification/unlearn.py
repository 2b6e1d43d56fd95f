"""One call for anybody's classifier: forget some examples, keep the others."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, get_args

import torch
from torch import nn

from erase.classification.examples import Set, as_set
from erase.classification.ft import ft
from erase.classification.ga import ga
from erase.classification.l1_sparse import l1_sparse
from erase.classification.recipes import MethodName, recipe
from erase.classification.retrain import retrain, start_anew
from erase.classification.rl import rl
from erase.classification.salun import saliency_mask, salun
from erase.classification.training import Augment, Training
from erase.saliency.selection import full_mask
from plumbing.errors import UsageError


def unlearn(
    model: nn.Module,
    forget_set: Any,
    retain_set: Any,
    method: MethodName = "salun",
    *,
    density: float | None = None,
    lr: float | None = None,
    epochs: int | None = None,
    gamma: float | None = None,
    alpha: float | None = None,
    batch_size: int = 128,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    freeze_statistics: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    augment: Augment | None = None,
    tick: Callable[[int], object] = lambda images: None,
) -> nn.Module:
    """A copy of a classifier that has forgotten some of what it was trained on; `model` stays.

    `model` maps images [B, …] to logits [B, classes]. The sets are torch Datasets of (image, label)
    or pairs of tensors, images as the model takes them, labels from 0 to classes - 1.

    With a `density` (SalUn always has one, given or not) the mask plugs into any method but
    `retrain`: only that share of the weights, the most salient for the forget set, may change, and
    all others stay the same to the bit. Buffers do not: batch norm's running statistics follow the
    training, mask or not. With `freeze_statistics` every buffer stays, too, for the model is then
    run in evaluation mode (batch norm uses the statistics that it has, dropout is off); that takes
    a smaller learning rate, and forgot less where it was tried.

    Parameters that do not require a gradient are not trained. `lr`, `epochs`, `gamma` (the
    penalty of `l1_sparse`) and `alpha` (the weight of the retain set in `rl` and `salun`) are the
    benchmark's, unless given; they were tuned there and are no more than a start for another model.
    `retrain` draws all weights anew. `augment` is given each batch of images and a generator.
    `tick` is told how many images were done.

    Bad input is a UsageError.
    """
    forget, retain = as_set(forget_set, "forget_set"), as_set(retain_set, "retain_set")
    share = len(forget) / (len(forget) + len(retain))
    _check(method, density)
    chosen = recipe(method, masked=method == "salun" or density is not None, share=share)
    if method == "salun" and density is None:
        density = chosen.density
    copy = deepcopy(model)
    parameters = {name: p for name, p in copy.named_parameters() if p.requires_grad}
    if not parameters:
        raise UsageError("no parameter of the model requires a gradient; nothing can be trained")
    classes = _count_classes(copy, retain)
    if method == "retrain":
        start_anew(copy, seed)
    if density is None:
        mask = full_mask(parameters, {})
    else:
        mask = saliency_mask(copy, parameters, forget, density, batch_size=batch_size, dtype=dtype)
    copy.train(method == "retrain" or not freeze_statistics)
    training = Training(
        copy,
        parameters,
        mask.unpacked(),
        classes=classes,
        lr=chosen.lr if lr is None else lr,
        epochs=chosen.epochs if epochs is None else epochs,
        batch_size=batch_size,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup=chosen.warmup,
        dtype=dtype,
        generator=torch.Generator().manual_seed(seed),
        augment=augment,
        tick=tick,
    )
    with torch.random.fork_rng():
        # What the model itself draws, for dropout.
        torch.manual_seed(seed)
        alpha = chosen.alpha if alpha is None else alpha
        gamma = chosen.gamma if gamma is None else gamma
        _train(method, training, forget, retain, alpha, gamma)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    if not all(tensor.isfinite().all() for tensor in copy.state_dict().values()):
        raise UsageError(
            f"{method} diverged: weights are no longer finite; lower its learning rate"
        )
    return copy.train(model.training)


def _train(
    method: MethodName, training: Training, forget: Set, retain: Set, alpha: float, gamma: float
) -> None:
    """Each method with the numbers that are its own."""
    match method:
        case "retrain":
            retrain(training, forget, retain)
        case "ft":
            ft(training, forget, retain)
        case "ga":
            ga(training, forget, retain)
        case "rl":
            rl(training, forget, retain, alpha)
        case "salun":
            salun(training, forget, retain, alpha)
        case "l1_sparse":
            l1_sparse(training, forget, retain, gamma)


def _check(method: str, density: float | None) -> None:
    names = get_args(MethodName)
    if method not in names:
        raise UsageError(f"method {method!r}: unknown; one of {', '.join(names)}")
    if density is None:
        return
    if not 0 < density <= 1:
        raise UsageError(f"density must be above 0 and at most 1, not {density}")
    if method == "retrain":
        raise UsageError("retrain has no mask: it starts from nothing; leave density out")


@torch.no_grad()
def _count_classes(model: nn.Module, examples: Set) -> int:
    images, _ = examples.batch(torch.tensor([0]))
    logits = model.eval()(images.to(next(model.parameters()).device))
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise UsageError(f"the model's output has shape {list(logits.shape)}, not [batch, classes]")
    return logits.shape[1]
