"""Other words for the concept, and its direction added to prompts: what needs prompts alone.

The direction is Ring-A-Bell's (Tsai et al., ICLR 2024, arXiv 2310.10012), injected into the text
embedding as in RECE's evaluation (2407.12383) in place of the search for words that come near it.
"""

from collections.abc import Iterator, Sequence

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable


def run(model: Attackable, aim: Aim, kit: Kit, *, strengths: Sequence[float]) -> Iterator[Variant]:
    """Draw the aim's probes; then prompts with the concept's direction added, by each strength."""
    probes = kit.take(aim.probes or aim.prompts)
    name = "other words" if aim.probes else "its own prompts, for want of other words"
    yield Variant(name, model.encode(probes), probes, model)
    with_it, without = zip(*aim.pairs, strict=True)
    found = model.encode(with_it).embeddings - model.encode(without).embeddings
    direction = found.mean(dim=0, keepdim=True)
    prompts = kit.take(aim.prompts)
    told = model.encode(prompts)
    for strength in strengths:
        yield Variant(
            name=f"direction added, {strength:g} times",
            told=model.with_embeddings(told, told.embeddings + strength * direction),
            prompts=[f"{prompt} (+ {strength:g} times {aim.name})" for prompt in prompts],
            model=model,
        )


WORDS = Attack(
    name="words",
    title="Other words",
    box="black",
    source="the concept's probes; Ring-A-Bell, Tsai et al. 2310.10012, injected",
    budgets={
        "quick": {"strengths": (1.0, 3.0)},
        "standard": {"strengths": (1.0, 2.0, 4.0)},
        "published": {"strengths": (3.0,)},
    },
    run=run,
    passes=lambda **_: 0,
    variants=lambda *, strengths: 1 + len(strengths),
)
