"""The structure of SalUn's official training step and mask, on diffusers' modules, to be timed.

What it does as the official code does (arXiv 2310.12508, its `random_label.py` and
`generate_mask.py`): three encodings of images and three of prompts in every step, a teacher with a
graph, gradient checkpointing, Adam with dense float32 state, a mask of int64 that every gradient is
multiplied with, gradients copied to the CPU image by image, and two full argsorts for the mask.
What it leaves out: the sleeps and the logging. On a GPU the mask lies on the CPU and goes over the
bus in every step, as in the official code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from erase.diffusion.noise_schedule import NoiseSchedule
from erase.models.prediction import predict
from erase.training.batches import Draw


def reference_losses(unet: Any, draw: Draw) -> tuple[Tensor, Tensor]:
    """Forget and retain loss of one step, three passes with a graph; the teacher is `unet`."""
    pseudo = predict(unet, *draw.relabelled().inputs)
    forget = predict(unet, *draw.forget.inputs)
    retain = predict(unet, *draw.retain.inputs)
    return mse_loss(forget, pseudo.detach()), mse_loss(draw.retain.target, retain)


class ReferenceTraining:
    """Dense masked Adam over all of a UNet, everything encoded anew in every step."""

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text_encoder: Any,
        mask: Mapping[str, Tensor],
        *,
        lr: float,
        alpha: float,
    ) -> None:
        """`mask` has a bool tensor for every parameter."""
        self.unet, self.vae, self.text_encoder, self.alpha = unet, vae, text_encoder, alpha
        unet.enable_gradient_checkpointing()
        self.mask = {name: bits.long() for name, bits in mask.items()}
        self.optimizer = torch.optim.Adam(unet.parameters(), lr=lr)

    def encode(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and text embeddings of a batch, as `get_input` gives them."""
        with torch.no_grad():
            latents = self.vae.encode(pixels).latent_dist.sample()
            return latents * self.vae.config["scaling_factor"], self.text_encoder(tokens)[0]

    def step(self, draw: Draw) -> tuple[float, float]:
        """One update from noised images."""
        self.optimizer.zero_grad()
        forgetting, retaining = reference_losses(self.unet, draw)
        (forgetting + self.alpha * retaining).backward()
        for name, parameter in self.unet.named_parameters():
            if parameter.grad is not None:
                parameter.grad *= self.mask[name].to(parameter.device)
        self.optimizer.step()
        return forgetting.item(), retaining.item()


def reference_saliency(
    unet: Any, schedule: NoiseSchedule, batches: Sequence[Any], no_prompt: Any, guidance: float
) -> dict[str, Tensor]:
    """|sum of gradients|, each batch's copied to the CPU and added there; two passes a batch."""
    total: dict[str, Tensor] = {}
    for batch in batches:
        unet.zero_grad()
        rows = torch.zeros_like(batch.timesteps)
        without = predict(unet, batch.noisy_latents, batch.timesteps, no_prompt[rows])
        with_prompt = predict(unet, *batch.inputs)
        guided = (1 + guidance) * with_prompt - guidance * without
        (-mse_loss(batch.target, guided)).backward()
        for name, parameter in unet.named_parameters():
            if parameter.grad is not None:
                gradient = parameter.grad.detach().cpu().clone()
                total[name] = total.get(name, 0) + gradient
    return {name: tensor.abs() for name, tensor in total.items()}


def reference_mask(saliency: Mapping[str, Tensor], density: float) -> dict[str, Tensor]:
    """Global top-k by two argsorts over all weights; int64 zeros and ones by name.

    The official sort leaves the order of equals to chance; a stable one makes the mask comparable.
    """
    everything = -torch.cat([tensor.flatten() for tensor in saliency.values()])
    kept = round(density * len(everything))
    ranks = torch.argsort(torch.argsort(everything, stable=True))
    start, mask = 0, {}
    for name, tensor in saliency.items():
        part = ranks[start : start + tensor.numel()]
        mask[name] = (part < kept).long().view(tensor.shape)
        start += tensor.numel()
    return mask
