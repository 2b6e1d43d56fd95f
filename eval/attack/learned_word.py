"""A new word for the concept: token embeddings learned from its images, the weights left alone.

Textual inversion (Gal et al. 2022) turned on an erased model, as in Circumventing Concept Erasure
(Pham et al., ICLR 2024, arXiv 2308.01508). What the word is begun with decides what it finds, so
that several are tried.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable
from eval.attack.fitting import BATCH_PASSES, Fit, denoising_loss
from eval.attack.own_path import OwnPath, path_passes

OWN, NEAR, RANDOM = "own", "near", "random"
"""Begin with the concept's own words, with the words next to them, with any words."""
PLAIN_FORM = (NEAR, 1, "images")
"""As published: one vector, begun with a word of that class, learned from images."""


def run(
    model: Attackable,
    aim: Aim,
    kit: Kit,
    *,
    forms: Sequence[tuple[str, int, str]],
    steps: Sequence[int],
    lr: float,
    weight_decay: float = 0.0,
    batch: int,
) -> Iterator[Variant]:
    """Learn a word for each form: (start, vectors, what is noised: `images` or `path`).

    It is drawn with after each number of `steps`.
    """
    for start, count, noised in forms:
        vectors = first_vectors(model, aim, start, count, kit.seed)
        name, words = f"{start}-{count}-{noised}", len(vectors[0])
        slots = " ".join([model.slot] * words)
        templates = [template.format(slots) for template in aim.templates]
        loss = _loss(model, aim, templates, vectors, noised, batch)
        fit = Fit(vectors, loss, kit, name=name, lr=lr, rows=batch, weight_decay=weight_decay)
        for upto in steps:
            current = fit.run(upto)
            with torch.no_grad():
                told = model.encode_soft(kit.take(templates), vectors)
            shown = [template.format("*" * words) for template in aim.templates]
            yield Variant(
                name=f"{name}, {upto} steps",
                told=told,
                prompts=kit.take(shown),
                model=model,
                adaptive=(start, count, noised) != PLAIN_FORM,
                learned={f"vectors.{i}": v.detach().clone() for i, v in enumerate(vectors)},
                step=upto,
                current=current,
            )


def _loss(
    model: Attackable,
    aim: Aim,
    templates: Sequence[str],
    vectors: Sequence[Tensor],
    noised: str,
    batch: int,
) -> Callable[[torch.Generator], Tensor]:
    latents = model.latents(aim.images)
    path = OwnPath(model, aim, batch) if noised == "path" else None

    def loss(generator: torch.Generator) -> Tensor:
        told = model.encode_soft(templates, vectors)
        told = told[torch.randint(len(templates), (batch,), generator=generator)]
        if path is not None:
            return path.loss(told, generator)
        rows = torch.randint(len(latents), (batch,), generator=generator)
        return denoising_loss(model, latents[rows], told, generator)

    return loss


def first_vectors(model: Attackable, aim: Aim, start: str, count: int, seed: int) -> list[Tensor]:
    """What the word begins with: for each text encoder [K, W], wanting a gradient.

    `own` has as many vectors as the concept's own words have tokens.
    """
    ids = _start_ids(model, aim, start, count, seed)
    return [table[ids].clone().requires_grad_() for table in model.word_tables()]


def _start_ids(model: Attackable, aim: Aim, start: str, count: int, seed: int) -> list[int]:
    own = model.word_ids(aim.words)
    if start == OWN:
        return own
    taken = set(own) | set(model.special_ids())
    table = model.word_tables()[0]
    if start == NEAR:
        towards = table[own].mean(dim=0, keepdim=True)
        order = F.cosine_similarity(table, towards).argsort(descending=True, stable=True)
    else:
        order = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    found = [i for i in order.tolist() if i not in taken]
    # Another word each time that the attack is repeated.
    skipped = seed % 3 * count if start == NEAR else 0
    return found[skipped : skipped + count]


def _passes(
    *,
    count: int,
    sampler_steps: int,
    forms: Sequence[tuple[str, int, str]],
    steps: Sequence[int],
    batch: int,
    **_: float,
) -> int:
    learned = len(forms) * max(steps) * batch * BATCH_PASSES
    followed = sum(noised == "path" for *_, noised in forms)
    return learned + followed * path_passes(max(steps), batch, sampler_steps)


LEARNED_WORD = Attack(
    name="learned-word",
    title="A learned word",
    box="white",
    source="Pham et al. 2308.01508 (CCE); Gal et al. 2208.01618",
    budgets={
        "demo": {"forms": ((OWN, 1, "images"),), "steps": (100,), "lr": 2e-2, "batch": 4},
        "quick": {"forms": (PLAIN_FORM,), "steps": (150,), "lr": 1e-2, "batch": 8},
        "standard": {
            "forms": (PLAIN_FORM, (OWN, 1, "images"), (NEAR, 3, "path")),
            "steps": (75, 150),
            "lr": 1e-2,
            "batch": 4,
        },
        "published": {
            "forms": (PLAIN_FORM,),
            "steps": (5000,),
            # 5e-3 scaled by batch and accumulation, 4 each.
            "lr": 8e-2,
            "weight_decay": 1e-2,
            "batch": 16,
        },
    },
    run=run,
    passes=_passes,
    variants=lambda *, forms, steps, **_: len(forms) * len(steps),
    shows="return",
)
