"""The loop behind every attack that learns: Adam over a few tensors, seeded by step, resumable."""

from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.attack.attack import Kit, seed_of
from eval.attack.attackable import Attackable, Told
from plumbing.whole_files import whole

SAVE_EVERY = 25
"""Steps between two saved states; a killed attack goes on from the last."""
BATCH_PASSES = 3
"""Of a row of a step: forward 1, backward 2."""


class Fit:
    """Steps of AdamW on a loss that change `parameters` in place.

    A step draws from a generator that its number, the fit's name and the kit's seed decide, so that
    an attack that was killed comes to the same bits.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        loss: Callable[[torch.Generator], Tensor],
        kit: Kit,
        *,
        name: str,
        lr: float,
        rows: int,
        weight_decay: float = 0.0,
        decoupled: bool = True,
        after: Callable[[], None] = lambda: None,
        saved: bool = True,
    ) -> None:
        """`rows` is the batch, for the count of passes; `after` follows each step.

        AdamW, or Adam where the decay of weights is not `decoupled` from the gradient.

        `saved` keeps the state as NAME.pt and takes it up again; without it a killed attack begins
        anew, as is cheaper for all the weights of a model.
        """
        self._parameters, self._loss, self._kit = parameters, loss, kit
        self._rows, self._after = rows, after
        self._name = name
        self._state = kit.states / f"{name}.pt" if saved else None
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        self._optimizer = kind(parameters, lr=lr, weight_decay=weight_decay)
        self._done = 0

    def run(self, upto: int) -> bool:
        """Go on until `upto` steps are done in all.

        False if more are done already: what was saved is from later, so that what is drawn after
        `upto` steps was drawn before.
        """
        if not self._done:
            self._done = self._resume()
            self._kit.progress(self._done * self._rows * BATCH_PASSES)
        generator = torch.Generator()
        for step in range(self._done, upto):
            generator.manual_seed(seed_of(self._kit.seed, self._name, step))
            self._loss(generator).backward()
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            self._after()
            self._done = step + 1
            self._kit.progress(self._rows * BATCH_PASSES)
            if self._state and self._done % SAVE_EVERY == 0:
                self._save(self._state)
        return self._done <= upto

    def _resume(self) -> int:
        """Take up the saved state, if there is one; its steps."""
        if self._state is None or not self._state.is_file():
            return 0
        try:
            saved = torch.load(self._state, weights_only=True)
        except (EOFError, OSError, RuntimeError, UnpicklingError):
            # Torn by the end of the machine: begun anew.
            return 0
        with torch.no_grad():
            for own, kept in zip(self._parameters, saved["parameters"], strict=True):
                own.copy_(kept)
        self._optimizer.load_state_dict(saved["optimizer"])
        return saved["step"]

    def _save(self, state: Path) -> None:
        state.parent.mkdir(parents=True, exist_ok=True)
        kept = [parameter.detach() for parameter in self._parameters]
        told = {"step": self._done, "parameters": kept, "optimizer": self._optimizer.state_dict()}
        with whole(state, durable=False) as partial:
            torch.save(told, partial)


def denoising_loss(
    model: Attackable, latents: Tensor, told: Told, generator: torch.Generator
) -> Tensor:
    """Mean of (target - prediction)^2 over x_t of `latents`, [B, C, h, w], at timesteps drawn.

    What a diffusion model is trained with; `told` is of B prompts.
    """
    timesteps = model.draw_timesteps(len(latents), generator)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    noisy = model.add_noise(latents, noise, timesteps)
    return F.mse_loss(
        model.predict(noisy, timesteps, told), model.target(latents, noise, timesteps)
    )
