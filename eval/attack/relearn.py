"""Fine-tuning on a few images: of the concept, and of other things, the full weights or a LoRA.

What is learned from images of the concept may be learned anew, so its floor is the same training
of a model that never knew it (Erased or Dormant, 2505.16174). Images of other things that bring a
concept back show that it was hidden (2410.08074).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable
from eval.attack.fitting import BATCH_PASSES, Fit, denoising_loss

RANK = 8
LORA_LR = 10
"""A LoRA's learning rate, in that of all weights."""


def run(
    model: Attackable,
    aim: Aim,
    kit: Kit,
    *,
    forms: Sequence[tuple[str, str]],
    steps: Sequence[int],
    images: int,
    batch: int,
) -> Iterator[Variant]:
    """Train a copy on `images` images for each form: (`full` or `lora`, `concept` or `others`).

    It is drawn with, at the concept's prompts, after each number of `steps`.
    """
    prompts = kit.take(aim.prompts)
    told = model.encode(prompts)
    for weights, shown in forms:
        copy, lora = model.fork(), weights == "lora"
        parameters = add_lora(copy.denoiser, kit.seed) if lora else _all(copy.denoiser)
        fit = Fit(
            parameters,
            _loss(copy, *_lesson(aim, shown, images), batch),
            kit,
            name=f"{weights}-{shown}",
            lr=aim.original.usual_lr * (LORA_LR if lora else 1),
            rows=batch,
            weight_decay=0.01,
            saved=False,
        )
        for upto in steps:
            fit.run(upto)
            yield Variant(
                name=f"{weights}, on {shown}, {upto} steps",
                told=told,
                prompts=prompts,
                model=copy,
                step=upto,
            )


def _lesson(aim: Aim, shown: str, images: int) -> tuple[Sequence[Path], Sequence[str]]:
    if shown == "concept":
        return aim.images[:images], aim.captions[:images]
    return aim.others[:images], aim.other_captions[:images]


def _loss(
    copy: Attackable, images: Sequence[Path], captions: Sequence[str], batch: int
) -> Callable[[torch.Generator], Tensor]:
    latents, told = copy.latents(images), copy.encode(captions)

    def loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(latents), (batch,), generator=generator)
        return denoising_loss(copy, latents[rows], told[rows], generator)

    return loss


def _all(denoiser: nn.Module) -> list[Tensor]:
    return list(denoiser.requires_grad_(True).parameters())


class _LowRank(nn.Module):
    """W + up · down."""

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        down = torch.randn(RANK, weight.shape[1], generator=generator) / math.sqrt(RANK)
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], RANK).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as it counts."""
        return weight + self.up @ self.down


def add_lora(denoiser: nn.Module, seed: int) -> list[Tensor]:
    """Give each linear map of the attention layers a low-rank addition of 0; its parameters."""
    denoiser.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    added: list[Tensor] = []
    for name, module in list(denoiser.named_modules()):
        if isinstance(module, nn.Linear) and "attn" in name:
            low_rank = _LowRank(module.weight, generator)
            parametrize.register_parametrization(module, "weight", low_rank)
            added += list(low_rank.parameters())
    return added


RELEARN = Attack(
    name="relearn",
    title="Fine-tuning",
    box="fine-tune",
    source="2505.16174, 2410.08074; ResAlign",
    budgets={
        "quick": {"forms": (("full", "concept"),), "steps": (10, 20), "images": 10, "batch": 8},
        "standard": {
            "forms": (
                ("full", "concept"),
                ("lora", "concept"),
                ("full", "others"),
            ),
            "steps": (5, 10, 20, 40),
            "images": 10,
            "batch": 8,
        },
        "published": {
            "forms": (("full", "concept"), ("lora", "concept"), ("full", "others")),
            "steps": (5, 20, 50, 100),
            "images": 10,
            "batch": 16,
        },
    },
    run=run,
    passes=lambda *, forms, steps, batch, **_: len(forms) * max(steps) * batch * BATCH_PASSES,
    variants=lambda *, forms, steps, **_: len(forms) * len(steps),
    shows="nothing",
)
