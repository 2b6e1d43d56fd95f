"""Ways of rewording that seek the concept in the weights while it is trained out of them.

An erasure that answers its prompts leaves a way back for whoever learns a word on the erased model
(Pham et al., 2024, Circumventing Concept Erasure Methods). So some offsets of its prompts'
embeddings are learned along with the training, one of them a step before each step of its own, and
what they ask for is relabelled, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim.adam import adam

from erase.diffusion.conditioning import Conditioning
from erase.training.batches import NoisyBatch

LR = 2e-2
"""Of Adam, for an offset."""
RESTART = 50
"""Steps of an offset after which it begins anew: what it has found is trained away by then."""


class Adversary:
    """K offsets of a prompt's embedding, one of which takes a step of Adam at a time, in turn.

    What a prompt says beside the concept stays said: which thing an image of a style shows is
    neither to be found by the attack nor to be forgotten by the training.
    """

    def __init__(
        self, starts: Tensor, *, seed: int, lr: float = LR, restart: int = RESTART
    ) -> None:
        """They begin at `starts`, [K, L, D], and each anew after `restart` steps of its own."""
        self._starts, self._lr, self._restart, self._seed = starts, lr, restart, seed
        self._offsets = starts.clone()
        self._moments = torch.zeros(2, *self._offsets.shape)
        self._steps = torch.zeros(len(starts))
        self._turns = torch.zeros((), dtype=torch.long)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """All that it needs to resume, by name; in use, not copies."""
        return {
            "offsets": self._offsets,
            "moments": self._moments,
            "steps": self._steps,
            "turns": self._turns,
        }

    def step(
        self,
        predict: Callable[[NoisyBatch], Tensor],
        concept: NoisyBatch,
        own: list[slice],
        add: Callable[[Tensor], object],
    ) -> None:
        """Lead one offset to where the student denoises images of the concept as what they are.

        `concept` has noised images of it with their true targets, of which this process sees the
        slices `own`; `add` adds the other processes' gradients to a tensor.
        """
        k = int(self._turns) % len(self._steps)
        self._turns += 1
        if self._steps[k] >= self._restart:
            self._begin_anew(k)
        gradient = torch.zeros_like(self._offsets[k])
        for rows in own:
            part = concept[rows]
            free = self._offsets[k].to(part.noisy_latents.device).requires_grad_()
            told = replace(part.conditioning, embeddings=part.conditioning.embeddings + free)
            loss = mse_loss(predict(replace(part, conditioning=told)), part.target)
            (found,) = torch.autograd.grad(loss * len(part) / len(concept), free)
            gradient += found.float().cpu()
        add(gradient)
        self._adam(k, gradient)

    def told(self, like: Conditioning, start: int = 0) -> Conditioning:
        """`like` with the offsets added in turn, from that of row `start` on."""
        rows = torch.arange(start, start + len(like)) % len(self._offsets)
        return replace(like, embeddings=like.embeddings + self._offsets[rows].to(like.embeddings))

    def _begin_anew(self, k: int) -> None:
        generator = torch.Generator().manual_seed(self._seed + int(self._turns))
        other = int(torch.randint(len(self._steps), (), generator=generator))
        self._offsets[k] = self._starts[other]
        self._moments[:, k] = 0
        self._steps[k] = 0

    @torch.no_grad()
    def _adam(self, k: int, gradient: Tensor) -> None:
        adam(
            [self._offsets[k]],
            [gradient],
            [self._moments[0, k]],
            [self._moments[1, k]],
            [],
            [self._steps[k]],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
