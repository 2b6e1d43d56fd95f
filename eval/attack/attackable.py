"""A model under attack, as attacks see it: the few verbs that they need, made by the product."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image
from torch import Tensor, nn

Told = Any
"""P encoded prompts: has a length, rows (`told[rows]`) and `embeddings` [P, L, D]."""
Vectors = Sequence[Tensor]
"""Words as vectors: for each text encoder [K, W], or [P, K, W] if each prompt has its own."""


class Attackable(Protocol):
    """A loaded model; nothing here changes its weights."""

    @property
    def sha256(self) -> str:
        """Hash of the files that it was loaded from."""
        ...

    @property
    def slot(self) -> str:
        """What stands in a prompt where a vector goes."""
        ...

    @property
    def denoiser(self) -> nn.Module:
        """The part that predicts, with all its weights."""
        ...

    @property
    def usual_lr(self) -> float:
        """Adam's learning rate that fine-tunes all weights gently."""
        ...

    def fork(self) -> "Attackable":
        """A copy whose denoiser can be trained without changing this model."""
        ...

    def encode(self, prompts: Sequence[str]) -> Told:
        """Encode prompts; without gradient."""
        ...

    def encode_nothing(self, count: int) -> Told:
        """What guidance leads away from, of as many prompts."""
        ...

    def encode_soft(self, prompts: Sequence[str], vectors: Vectors) -> Told:
        """Encode prompts with `slot`s, keeping the gradient to the vectors that fill them."""
        ...

    def with_embeddings(self, told: Told, embeddings: Tensor) -> Told:
        """The same with another text embedding, [P, L, D]."""
        ...

    def word_tables(self) -> Vectors:
        """The vectors of all words that each text encoder knows, [V, W]."""
        ...

    def word_ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        ...

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        ...

    def special_ids(self) -> list[int]:
        """The tokens that no text has."""
        ...

    def latents(self, images: Sequence[Path]) -> Tensor:
        """Encode image files of the model's own size, [N, C, h, w]."""
        ...

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """What drawing begins with, a row a seed, [N, C, h, w]."""
        ...

    def draw_timesteps(self, count: int, generator: Any) -> Tensor:
        """Timesteps as in training, [count]."""
        ...

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t."""
        ...

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict of x_t."""
        ...

    def predict(self, noisy_latents: Tensor, timesteps: Tensor, told: Told) -> Tensor:
        """What it predicts, in float32, keeping gradients."""
        ...

    def timesteps(self) -> Tensor:
        """The sampler's timesteps, the noisiest first, [S]."""
        ...

    def denoise(
        self, latents: Tensor, told: Told, first: int = 0, last: int | None = None
    ) -> Tensor:
        """Sample from step `first` to before step `last`, guided; without gradient."""
        ...

    def invert(self, latents: Tensor, told: Told, iterations: int) -> Tensor:
        """The noise that the sampler, run backwards without guidance, comes to."""
        ...

    def decode(self, latents: Tensor) -> list[Image]:
        """Latents to images."""
        ...
