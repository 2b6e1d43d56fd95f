"""The weights of a stranger's model, part by part: checked before they are loaded, and after."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn

from erase.models.model_source import ModelSource
from erase.tensors.quantised import quantised
from erase.tensors.weight_files import Weights
from plumbing.errors import UsageError
from plumbing.file_content import GET_PLAIN, weights_kind

_SPARE = 1 << 20
"""Weights that a config may ask for beyond those that are there; they are missed by name later."""


def check_weights(source: ModelSource, component: str, kind: Any) -> Weights:
    """The weights of a part, not read yet; a UsageError for files that must not be opened.

    Those are pickles with more than tensors in them, headers that lie, shards without what their
    index says is in them, and files that hold less than their config asks for, which would be made
    up in memory.
    """
    own = source.weights_of(component)
    try:
        found = Weights(own.files)
    except UsageError as error:
        raise UsageError(f"--model {source.id}: its {component} does not load ({error})") from None
    for file in own.files:
        # The libraries that load them go by the name.
        named = {"safetensors": ".safetensors", "pickle": ".bin"}[weights_kind(file)]
        if named != file.suffix:
            what = "a safetensors file" if named == ".safetensors" else "a pickle of torch"
            raise UsageError(
                f"--model {source.id}: {component}/{file.name} is {what} by its content; "
                f"rename it to {file.with_suffix(named).name}"
            )
    if how := quantised(found.specs):
        raise UsageError(
            f"--model {source.id}: its {component} is {how}, too coarse to be erased from; "
            f"{GET_PLAIN}"
        )
    for name in sorted((own.shards or {}).keys() - found.specs.keys()):
        raise UsageError(
            f"--model {source.id}: its {component}'s shards lack the weight {name}, which their "
            "index names; get it anew"
        )
    if hasattr(kind, "config_class"):
        folder = source.folder / component
        config = kind.config_class.from_pretrained(folder, local_files_only=True)
        with init_empty_weights():
            asked = sum(p.numel() for p in kind(config).parameters())
        there = sum(spec.count for spec in found.specs.values())
        if asked > there + _SPARE:
            raise UsageError(
                f"--model {source.id}: its {component}/config.json asks for {asked:,} weights, "
                f"there are {there:,}; get it anew"
            )
    return found


def require_finite(source: ModelSource, component: str, model: nn.Module) -> None:
    """Refuse, as a UsageError, weights that are no numbers: all they could draw is black."""
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise UsageError(
                f"--model {source.id}: its {component}'s {name} holds NaN or infinity; get it anew"
            )
