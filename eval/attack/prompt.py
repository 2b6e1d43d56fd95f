"""Words before the prompt, searched with the weights' gradients: UnlearnDiffAtk and P4D.

UnlearnDiffAtk (Zhang et al., ECCV 2024, arXiv 2310.11868): each of K tokens is a point on the
simplex over the vocabulary; a word is drawn from it on the way forward, and the gradient goes
straight through. The erased model itself tells how well the words fit a picture of the concept.
P4D (Chin et al. 2309.06135) asks for the original's prediction under the plain prompt instead.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable
from eval.attack.fitting import BATCH_PASSES, Fit

Objective = Literal["noise", "original"]
LR, WEIGHT_DECAY = 0.01, 0.1
AT_ONCE = 16
"""Prompts searched for together."""


def run(
    model: Attackable,
    aim: Aim,
    kit: Kit,
    *,
    objectives: Sequence[Objective],
    tokens: int,
    timesteps: int,
    iterations: int,
) -> Iterator[Variant]:
    """Search `tokens` words before each of the kit's prompts, for each objective.

    `objectives` are `noise` (UnlearnDiffAtk) and `original` (P4D). At each of so many
    `timesteps`, the least noisy first, `iterations` steps are done; then the likeliest words are
    drawn with. The first variant is the plain prompts.
    """
    prompts = kit.take(aim.captions)
    yield Variant("the prompts alone", model.encode(prompts), prompts, model, step=0)
    for objective in objectives:
        searches = [
            _Search(model, aim, kit, objective, tokens, slice(start, start + AT_ONCE))
            for start in range(0, kit.count, AT_ONCE)
        ]
        fits = [search.fit(kit, f"{objective}-{n}") for n, search in enumerate(searches)]
        for turn, timestep in enumerate(_timesteps(timesteps), 1):
            current = True
            for search, fit in zip(searches, fits, strict=True):
                search.timestep = timestep
                current = fit.run(turn * iterations) and current
            texts = [text for search in searches for text in search.texts()]
            yield Variant(
                name=f"{objective}, {turn * iterations} iterations",
                told=model.encode(texts),
                prompts=texts,
                model=model,
                adaptive=objective != "noise",
                learned={"tokens": torch.cat([search.ids() for search in searches])},
                step=turn * iterations,
                current=current,
            )


class _Search:
    """Words of their own before each of some prompts, as points on the simplex."""

    def __init__(
        self,
        model: Attackable,
        aim: Aim,
        kit: Kit,
        objective: Objective,
        tokens: int,
        rows: slice,
    ) -> None:
        """`rows` are of the kit's prompts."""
        self._model, self._original, self._objective = model, aim.original, objective
        self._prompts = kit.take(aim.captions)[rows]
        self._latents = model.latents(kit.take(aim.images)[rows])
        self._wanted = aim.original.encode(self._prompts)
        slots = " ".join([model.slot] * tokens)
        # A prompt's own sign must not be taken for a slot.
        self._templates = [f"{slots} {p.replace(model.slot, '-')}" for p in self._prompts]
        tables = model.word_tables()
        self._allowed = _allowed(model, len(tables[0]))
        self._tables = [table[self._allowed] for table in tables]
        words = len(self._allowed)
        self.points = torch.full((len(self._prompts), tokens, words), 1 / words).requires_grad_()
        self.timestep = 0

    def fit(self, kit: Kit, name: str) -> Fit:
        """The search's steps."""
        return Fit(
            [self.points],
            self.loss,
            kit,
            name=name,
            lr=LR,
            rows=len(self._prompts),
            weight_decay=WEIGHT_DECAY,
            decoupled=False,
            after=self.project,
        )

    def loss(self, generator: torch.Generator) -> Tensor:
        """The sum over prompts, since each has words of its own."""
        model, latents = self._model, self._latents
        chosen = _straight_through(self.points, generator)
        told = model.encode_soft(self._templates, [chosen.to(t) @ t for t in self._tables])
        times = torch.full((len(latents),), self.timestep)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = model.add_noise(latents, noise, times)
        if self._objective == "original":
            with torch.no_grad():
                target = self._original.predict(noisy, times, self._wanted)
        else:
            target = model.target(latents, noise, times)
        error = F.mse_loss(model.predict(noisy, times, told), target, reduction="none")
        return error.mean(dim=(1, 2, 3)).sum()

    def project(self) -> None:
        """Put the points back on the simplex."""
        with torch.no_grad():
            self.points.copy_(onto_simplex(self.points))

    def ids(self) -> Tensor:
        """The likeliest tokens, int64 [N, K]."""
        return self._allowed[self.points.detach().argmax(dim=-1)]

    def texts(self) -> list[str]:
        """The prompts with the likeliest words before them."""
        text = self._model.text_of
        # One by one: signs that stand together may be read as another token.
        words = [" ".join(text([token]) for token in own) for own in self.ids().tolist()]
        return [f"{own} {prompt}" for own, prompt in zip(words, self._prompts, strict=True)]


def onto_simplex(points: Tensor) -> Tensor:
    """The nearest points, [..., V], whose coordinates are at least 0 and sum to 1.

    By the threshold of the sorted coordinates (Duchi et al. 2008), exact where bisection is near.
    """
    ordered = points.sort(dim=-1, descending=True).values
    over = ordered.cumsum(dim=-1) - 1
    rank = torch.arange(1, points.shape[-1] + 1, dtype=points.dtype, device=points.device)
    kept = (ordered * rank > over).sum(dim=-1, keepdim=True)
    threshold = over.gather(-1, kept - 1) / kept
    return (points - threshold).clamp(min=0)


def _straight_through(points: Tensor, generator: torch.Generator) -> Tensor:
    """One-hot rows drawn by the points' chances, [N, K, V], with the points' own gradient.

    The gradient is cut to [-1, 1], as by a hard tanh.
    """
    # A broken model gives NaN; any word will do then.
    flat = points.detach().flatten(0, 1).nan_to_num(0.0).clamp(min=0)
    drawn = torch.multinomial(flat + 1e-12, 1, generator=generator)
    hard = F.one_hot(drawn[:, 0], points.shape[-1]).to(points).view_as(points)
    through = points * 1.0
    through.register_hook(F.hardtanh)
    return hard + through - through.detach()


def _allowed(model: Attackable, size: int) -> Tensor:
    """The tokens that a prompt can have, int64 [V']."""
    slot = model.word_ids(model.slot)
    banned = {*model.special_ids(), *slot}
    # Only words that are read again as what they are: a search drawn with its text must not lose
    # what it found.
    kept = [i for i in range(size) if i not in banned and _stays(model, i)]
    return torch.tensor(kept)


def _stays(model: Attackable, token: int) -> bool:
    text = model.text_of([token])
    return bool(text) and model.word_ids(text) == [token]


def _timesteps(count: int) -> list[int]:
    """`count` of the 50 timesteps 10, 30, … 990, evenly spread, the least noisy first."""
    every = list(range(10, 1000, 20))
    return [every[(2 * i + 1) * len(every) // (2 * count)] for i in range(count)]


PROMPT = Attack(
    name="prompt",
    title="Words before the prompt",
    box="white",
    source="UnlearnDiffAtk, Zhang et al. 2310.11868; P4D, Chin et al. 2309.06135",
    budgets={
        "quick": {"objectives": ("noise",), "tokens": 3, "timesteps": 5, "iterations": 10},
        "standard": {
            "objectives": ("noise", "original"),
            "tokens": 3,
            "timesteps": 3,
            "iterations": 12,
        },
        "published": {"objectives": ("noise",), "tokens": 5, "timesteps": 50, "iterations": 40},
    },
    run=run,
    passes=lambda *, count, objectives, timesteps, iterations, **_: (
        len(objectives) * timesteps * iterations * count * BATCH_PASSES
    ),
    variants=lambda *, objectives, timesteps, **_: 1 + len(objectives) * timesteps,
    any_counts=True,
)
