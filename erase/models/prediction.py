"""The equations of latent diffusion, as plain functions of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from erase.diffusion.conditioning import Conditioning, join
from erase.diffusion.cpu_kernels import training_kernels
from erase.models.architectures.known import architecture_of
from erase.tensors.bits import widened


def predict(
    denoiser: Any, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning
) -> Tensor:
    """The denoiser's output eps_theta(x_t | c), in float32 if the arithmetic was in less."""
    architecture = architecture_of(denoiser)
    return widened(architecture.predict(denoiser, noisy_latents, timesteps, conditioning))


def guided_prediction(
    denoiser: Any,
    noisy_latents: Tensor,
    timesteps: Tensor,
    conditioning: Conditioning,
    no_prompt: Conditioning,
    guidance: float,
) -> Tensor:
    """(1 + g) eps_theta(x_t | c) - g eps_theta(x_t | ""), both with gradient; g = 0 is one pass.

    SalUn's g of 7.5 is a `guidance_scale` of 8.5 in diffusers' terms; `no_prompt` is of one prompt.
    """
    if guidance == 0:
        return predict(denoiser, noisy_latents, timesteps, conditioning)
    both = predict(
        denoiser,
        noisy_latents.repeat(2, 1, 1, 1),
        timesteps.repeat(2),
        join([conditioning, no_prompt[torch.zeros_like(timesteps, dtype=torch.long)]]),
    )
    conditional, unconditional = both.chunk(2)
    return (1 + guidance) * conditional - guidance * unconditional


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Arithmetic in `dtype` over float32 weights; nothing at all for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


@contextmanager
def drawing_arithmetic(
    modules: Iterable[nn.Module], device: torch.device, dtype: torch.dtype
) -> Iterator[None]:
    """Arithmetic in `dtype`, without gradient, over weights that are float32 again afterwards.

    On a GPU the modules are held in it meanwhile, as an evaluation holds them: autocast would keep
    the same copies, and norms and sums in float32 besides, which takes time and changes no image
    that is to be seen. A CPU stays with autocast, by which its sets were always drawn.
    """
    if device.type != "cuda" or dtype == torch.float32:
        with autocast(device, dtype):
            yield
    else:
        with held_in(modules, dtype):
            yield


@contextmanager
def held_in(modules: Iterable[nn.Module], dtype: torch.dtype) -> Iterator[None]:
    """Hold modules' numbers in a type; afterwards they are what they were, bit for bit."""
    own = [t for module in modules for t in (*module.parameters(), *module.buffers())]
    kept = [(tensor, tensor.data) for tensor in own if tensor.is_floating_point()]
    try:
        for tensor, data in kept:
            tensor.data = data.to(dtype)
        yield
    finally:
        for tensor, data in kept:
            tensor.data = data


@contextmanager
def training_arithmetic(denoiser: Any, dtype: torch.dtype) -> Iterator[None]:
    """Arithmetic in `dtype`, over weights in it or in float32, for passes with a gradient."""
    mixed = autocast(denoiser.device, dtype) if denoiser.dtype != dtype else nullcontext()
    with mixed, training_kernels(denoiser, dtype):
        yield
