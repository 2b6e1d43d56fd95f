"""One call for anybody's classifier: forget some examples, keep the others.

With a density (SalUn always has one) the mask plugs into any method but `retrain`: only that share
of the weights, the most salient for the forget set, may change, and all others stay the same to the
bit. Buffers do not: batch norm's running statistics follow the training, mask or not, unless they
are frozen. The model is then run in evaluation mode (batch norm uses the statistics that it has,
dropout is off); that takes a smaller learning rate, and forgot less where it was tried.

`lr`, `epochs`, `gamma` (the penalty of `l1_sparse`) and `alpha` (the weight of the retain set in
`rl` and `salun`) were tuned for the benchmark, and are only a start for another model. Parameters
that do not require a gradient are not trained; `retrain` draws all weights anew.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import nn

from erase.classification.examples import Set, as_set
from erase.classification.ft import ft
from erase.classification.ga import ga
from erase.classification.l1_sparse import l1_sparse
from erase.classification.recipes import MethodName, Recipe, recipe
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

    What is None is the benchmark's. `augment` is given each batch of images and a generator, `tick`
    the number of images done. Bad input is a UsageError.
    """
    forget, retain = as_set(forget_set, "forget_set"), as_set(retain_set, "retain_set")
    _check(method, density)
    masked = method == "salun" or density is not None
    share = len(forget) / (len(forget) + len(retain))
    how = _given(recipe(method, masked=masked, share=share), density, lr, epochs, gamma, alpha)
    parameters = _trainable(copy := deepcopy(model))
    classes = _count_classes(copy, retain)
    if method == "retrain":
        start_anew(copy, seed)
    told: dict[str, Any] = {"batch_size": batch_size, "dtype": dtype}
    mask = saliency_mask(copy, parameters, forget, how.density, **told) if masked else None
    copy.train(method == "retrain" or not freeze_statistics)
    training = Training(
        copy,
        parameters,
        (mask or full_mask(parameters, {})).unpacked(),
        classes=classes,
        lr=how.lr,
        epochs=how.epochs,
        momentum=momentum,
        weight_decay=weight_decay,
        warmup=how.warmup,
        generator=torch.Generator().manual_seed(seed),
        augment=augment,
        tick=tick,
        **told,
    )
    _train(method, training, forget, retain, how, seed)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    _require_finite(method, copy)
    return copy.train(model.training)


@torch.random.fork_rng()
def _train(
    method: MethodName, training: Training, forget: Set, retain: Set, how: Recipe, seed: int
) -> None:
    """Each method with the numbers that are its own."""
    # What the model itself draws, for dropout.
    torch.manual_seed(seed)
    match method:
        case "retrain":
            retrain(training, forget, retain)
        case "ft":
            ft(training, forget, retain)
        case "ga":
            ga(training, forget, retain)
        case "rl":
            rl(training, forget, retain, how.alpha)
        case "salun":
            salun(training, forget, retain, how.alpha)
        case "l1_sparse":
            l1_sparse(training, forget, retain, how.gamma)


def _given(how: Recipe, *values: float | None) -> Recipe:
    """A recipe with what the caller gave instead: density, lr, epochs, gamma and alpha."""
    names = ("density", "lr", "epochs", "gamma", "alpha")
    return replace(how, **{n: v for n, v in zip(names, values, strict=True) if v is not None})


def _trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise UsageError("no parameter of the model requires a gradient; nothing can be trained")
    return parameters


def _require_finite(method: str, model: nn.Module) -> None:
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise UsageError(
            f"{method} diverged: weights are no longer finite; lower its learning rate"
        )


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
