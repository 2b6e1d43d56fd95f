"""The whole text embedding is free: more than any prompt can ask of the weights."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable, Told
from eval.attack.fitting import BATCH_PASSES, Fit, denoising_loss
from eval.attack.own_path import OwnPath, path_passes


def run(
    model: Attackable,
    aim: Aim,
    kit: Kit,
    *,
    noised: Sequence[str],
    steps: Sequence[int],
    lr: float,
    batch: int,
) -> Iterator[Variant]:
    """Learn a text embedding [L, D] from the concept's own, on `images` or on the `path`."""
    prompt = aim.templates[0].format(aim.words)
    start = model.encode([prompt])
    for what in noised:
        free = start.embeddings.clone().requires_grad_()
        loss = _loss(model, aim, start, free, what, batch)
        fit = Fit([free], loss, kit, name=what, lr=lr, rows=batch)
        for upto in steps:
            current = fit.run(upto)
            learned = free.detach().clone()
            alike = torch.zeros(kit.count, dtype=torch.long)
            yield Variant(
                name=f"{what}, {upto} steps",
                told=model.with_embeddings(start, learned)[alike],
                prompts=kit.take([f"(from {prompt!r})"]),
                model=model,
                adaptive=what == "path",
                learned={"embedding": learned},
                step=upto,
                current=current,
            )


def _loss(
    model: Attackable, aim: Aim, start: Told, free: Tensor, noised: str, batch: int
) -> Callable[[torch.Generator], Tensor]:
    latents = model.latents(aim.images)
    path = OwnPath(model, aim, batch) if noised == "path" else None
    alike = torch.zeros(batch, dtype=torch.long)

    def loss(generator: torch.Generator) -> Tensor:
        told = model.with_embeddings(start, free)[alike]
        if path is not None:
            return path.loss(told, generator)
        rows = torch.randint(len(latents), (batch,), generator=generator)
        return denoising_loss(model, latents[rows], told, generator)

    return loss


def _passes(
    *,
    count: int,
    sampler_steps: int,
    noised: Sequence[str],
    steps: Sequence[int],
    lr: float,
    batch: int,
) -> int:
    learned = len(noised) * max(steps) * batch * BATCH_PASSES
    return learned + list(noised).count("path") * path_passes(max(steps), batch, sampler_steps)


EMBEDDING = Attack(
    name="embedding",
    title="A free text embedding",
    box="white",
    source="P4D's objective without words, Chin et al. 2309.06135",
    budgets={
        "quick": {"noised": ("images",), "steps": (150,), "lr": 2e-2, "batch": 8},
        "standard": {
            "noised": ("images", "path"),
            "steps": (60, 120),
            "lr": 2e-2,
            "batch": 4,
        },
        "published": {"noised": ("images", "path"), "steps": (3000,), "lr": 1e-2, "batch": 8},
    },
    run=run,
    passes=_passes,
    variants=lambda *, noised, steps, **_: len(noised) * len(steps),
    shows="nothing",
)
