"""Learning where the erased model's own sampling goes, not only at noised images of the concept.

A defence that is right where a picture of the concept is noised and untrained elsewhere hides from
an attack that learns on such pictures alone; so what is learned is to lead the erased model's
sampling, wherever it goes, to what the original predicts there for the concept (P4D's objective,
Chin et al. 2309.06135, on the student's own trajectories).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.attack import fitting
from eval.attack.attack import Aim, turns
from eval.attack.attackable import Attackable, Told

_SHARE = 0.7
"""Trajectories are followed over at most this share of the sampler's steps: later nothing is
decided any more."""


class OwnPath:
    """Latents on the trajectories that a model under attack draws as it is told now."""

    def __init__(self, model: Attackable, aim: Aim, batch: int) -> None:
        """Trajectories of `batch` images; the original is told the aim's own prompts."""
        self._model, self._original = model, aim.original
        self._wanted = aim.original.encode(turns(aim.prompts, batch))
        self._left = 0
        self._latents: list[Tensor] = []
        """Of each step that is followed."""

    def loss(self, told: Told, generator: torch.Generator) -> Tensor:
        """Mean of (what the original predicts for the concept - what the model is led to)^2.

        At a step of the trajectories that is drawn anew each time.
        """
        if not self._left:
            self._follow(told, generator)
        self._left -= 1
        step = int(torch.randint(len(self._latents), (1,), generator=generator))
        latents = self._latents[step]
        timesteps = self._model.timesteps()[step].expand(len(latents)).clone()
        with torch.no_grad():
            wanted = self._original.predict(latents, timesteps, self._wanted)
        return F.mse_loss(self._model.predict(latents, timesteps, told), wanted)

    def _follow(self, told: Told, generator: torch.Generator) -> None:
        seeds = torch.randint(2**31, (len(told),), generator=generator).tolist()
        latents, self._latents = self._model.noise(seeds), []
        for step in range(_followed(len(self._model.timesteps()))):
            self._latents.append(latents)
            latents = self._model.denoise(latents, told, step, step + 1)
        # As long as between two saved states, so that a killed attack follows the same ones.
        self._left = fitting.SAVE_EVERY


def _followed(steps: int) -> int:
    return max(1, round(_SHARE * steps))


def path_passes(steps: int, batch: int, sampler_steps: int) -> int:
    """How many passes the trajectories and the original's predictions take."""
    followed = math.ceil(steps / fitting.SAVE_EVERY) * _followed(sampler_steps)
    return 2 * batch * followed + steps * batch
