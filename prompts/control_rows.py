"""Prompts of other things, all drawn from one noise: do images still follow their prompts?"""

import hashlib
from itertools import chain

from prompts.built_lists import RETAIN_PROMPTS, balanced, shipped_retain_prompts, shuffled
from prompts.concept import ConceptSpec, Vocabulary
from prompts.evaluation_rows import CONTROL, PromptRow

CONTROL_IMAGES = 24
"""How many are drawn, by each model."""


def control_rows(
    spec: ConceptSpec | None, vocabulary: Vocabulary | None, seed: int = 0
) -> list[PromptRow]:
    """Return a row a prompt that does not name the concept; the rows share one seed.

    The prompts are the concept's retain prompts, else what the vocabulary has, else the shipped
    ones, in an order that neither depends on. As only the prompts differ, so do the images of a
    model that heeds them, and only of such.
    """
    given: tuple[str, ...] = ()
    if spec:
        given = spec.retain_prompts
    elif vocabulary and vocabulary.objects:
        given = balanced(vocabulary.objects, vocabulary.styles, RETAIN_PROMPTS)
    pool = dict.fromkeys(chain(shuffled(given, "control"), shipped_retain_prompts()))
    prompts = spec.without_named(pool) if spec else tuple(pool)
    digest = hashlib.sha256(f"{seed}|control".encode()).digest()
    shared = int.from_bytes(digest[:4], "big")
    return [
        PromptRow(f"{CONTROL}{number:02d}", "control", prompt, shared)
        for number, prompt in enumerate(prompts[:CONTROL_IMAGES])
    ]
