"""Which weights of a UNet a `train_method` lets train."""

from __future__ import annotations

from torch import nn

from plumbing.errors import UsageError

TRAIN_METHODS = {
    "full": lambda name: True,
    "xattn": lambda name: ".attn2." in name,
    "noxattn": lambda name: ".attn2." not in name,
    "selfattn": lambda name: ".attn1." in name,
}


def trainable_parameters(unet: nn.Module, train_method: str) -> dict[str, nn.Parameter]:
    """The UNet's parameters that a `train_method` lets train; none is a UsageError."""
    chosen = TRAIN_METHODS[train_method]
    parameters = {name: p for name, p in unet.named_parameters() if chosen(name)}
    if not parameters:
        raise UsageError(f"--train-method {train_method}: selects no weight of this UNet")
    return parameters
