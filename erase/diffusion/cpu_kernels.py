"""Passes with a gradient in bfloat16 on a CPU, where some of torch's own kernels are slow.

Measured by benchmarks/kernels.py (torch 2.13, oneDNN 3.12): the backward pass of fused attention,
and the gradient of a convolution's weights where images are small and channels many. On any other
device, and in float32, torch's own are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold
from torch.nn.grad import conv2d_input

from plumbing.errors import UsageError

MATRIX = 1 << 19
"""Weights of an attention matrix, tokens by tokens, up to which it is written out and kept."""

_REPLACED: WeakSet[Any] = WeakSet()
"""The UNets that have them."""


def training_kernels(unet: Any, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Have a UNet use them, in forward passes and in what backward passes compute again.

    Within another such block for the same UNet, or one that `compiled` gave of it, it does nothing.
    """
    unet = getattr(unet, "_orig_mod", unet)
    slow = unet.device.type == "cpu" and dtype == torch.bfloat16 and unet not in _REPLACED
    # Under autocast the types of images, weights and gradients differ, as in no product.
    return replaced(unet, deep=unet.dtype == dtype) if slow else nullcontext()


@contextmanager
def replaced(unet: Any, *, deep: bool = True, matrix: int = MATRIX) -> Iterator[None]:
    """Attention and, if `deep`, convolutions of a UNet by the kernels of this file.

    Attention matrices of up to `matrix` weights are written out.
    """
    before = unet.attn_processors
    convolutions = [
        module
        for module in (unet.modules() if deep else ())
        if isinstance(module, nn.Conv2d) and keeps_size(module)
    ]
    # Only diffusers' plain attention: a transformer's joint one takes other arguments.
    own = Attention(matrix)
    unet.set_attn_processor({n: own if own.replaces(p) else p for n, p in before.items()})
    for module in convolutions:
        vars(module)["_conv_forward"] = partial(convolve, padding=module.padding)
    _REPLACED.add(unet)
    try:
        yield
    finally:
        _REPLACED.remove(unet)
        unet.set_attn_processor(before)
        for module in convolutions:
            del vars(module)["_conv_forward"]


def require_compiler(device: torch.device) -> None:
    """Refuse, as a UsageError, a machine on which torch.compile does not get to an end."""
    try:
        torch.compile(lambda x: x.square() + 1)(torch.ones(2, device=device))
    # What can be missing is as various as the machines; each back end has errors of its own.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"--compile: torch.compile does not work here ({reason}); leave it out, or install "
            "what is missing (a C++ compiler on a CPU, Triton on a GPU)"
        ) from error


def compiled(unet: Any) -> Any:
    """The UNet with torch.compile's passes, for batches that are all of one size."""
    # It looks through a cache of diffusers' that only tells versions; nothing to warn users of.
    warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
    return torch.compile(unet, dynamic=False)


class Attention:
    """Diffusers' fused attention, or the one that it writes out where the matrix is small."""

    def __init__(self, matrix: int = MATRIX) -> None:
        """Small: of so many weights or fewer."""
        # It takes seconds to import, and what only moves weights does without.
        from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

        self._plain, self._fused = AttnProcessor(), AttnProcessor2_0()
        self._matrix = matrix

    def replaces(self, processor: Any) -> bool:
        """Whether a processor computes the same."""
        return isinstance(processor, type(self._plain) | type(self._fused) | Attention)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """As diffusers calls it; tokens are [B, tokens, channels] or [B, channels, h, w]."""
        keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        small = _tokens(hidden_states) * _tokens(keys) <= self._matrix
        chosen = self._plain if small else self._fused
        return chosen(attn, hidden_states, encoder_hidden_states, *args, **kwargs)


def _tokens(states: Tensor) -> int:
    return states.shape[1] if states.ndim == 3 else states.shape[2:].numel()


def convolve(images: Tensor, weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
    """A convolution that keeps the size of its images; deep ones by `DeepConvolution`."""
    if weight.requires_grad and images[:, 0].numel() <= images.shape[1]:
        return DeepConvolution.apply(images, weight, bias, padding)
    return torch.conv2d(images, weight, bias, padding=padding)


def keeps_size(conv: nn.Conv2d) -> bool:
    """Whether a convolution looks at more than one pixel, and gives as many as it takes."""
    size = conv.kernel_size[0]
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    same = conv.padding == (size // 2, size // 2) and conv.kernel_size == (size, size)
    return size % 2 == 1 and size > 1 and plain and same and conv.padding_mode == "zeros"


class DeepConvolution(torch.autograd.Function):
    """For more channels than pixels: the weights' gradient is one product of unfolded images."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: Any
    ) -> Tensor:
        """As torch does it."""
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return torch.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """[out, B h w] times [B h w, in k k], which needs no memory layout of its own."""
        (gradient,), (images, weight) = gradients, ctx.saved_tensors
        to_images = None
        if ctx.needs_input_grad[0]:
            to_images = conv2d_input(images.shape, weight, gradient, padding=ctx.padding)
        columns = unfold(images, weight.shape[-2:], padding=ctx.padding)
        outputs = gradient.flatten(2).transpose(0, 1).flatten(1)
        to_weight = outputs @ columns.transpose(0, 1).flatten(1).mT
        to_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return to_images, to_weight.view_as(weight), to_bias, None
