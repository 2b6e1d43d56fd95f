"""No attack: the concept's own prompts, drawn as every attack draws. Where all attacks begin."""

from collections.abc import Iterator

from eval.attack.attack import Aim, Attack, Kit, Variant
from eval.attack.attackable import Attackable


def run(model: Attackable, aim: Aim, kit: Kit) -> Iterator[Variant]:
    """Draw the concept's prompts."""
    prompts = kit.take(aim.prompts)
    yield Variant(
        name="its own prompts", told=model.encode(prompts), prompts=prompts, model=model, step=0
    )


PLAIN = Attack(
    name="none",
    title="No attack",
    box="black",
    source="the concept's forget prompts",
    budgets={"demo": {}, "quick": {}, "standard": {}, "published": {}},
    run=run,
    passes=lambda **_: 0,
    variants=lambda **_: 1,
)
