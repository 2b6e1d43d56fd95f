"""What stands for a forget prompt: the prompts it may be relabelled to, or its anchor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from torch.nn.functional import cosine_similarity

from erase.models.bundle import Bundle
from plumbing.errors import UsageError
from prompts.concept import ConceptSpec

Choices = Callable[[str], Sequence[str]]
"""Of a forget prompt, the prompts that may stand for it; one or more."""
CHOSEN = ("random", "nearest", "mixed", "fixed")
"""Ways to choose a relabel prompt, beside naming it."""


def relabels(sd: Bundle, concept: ConceptSpec, how: str, seed: int) -> Choices:
    """The relabel prompts by one of the ways `CHOSEN`, or the prompt that `how` is.

    A concept without a fixed relabel prompt is a UsageError where that is asked for.
    """
    ways: dict[str, Choices] = {
        "random": lambda prompt: _one(concept, prompt, seed),
        "nearest": lambda prompt: _nearest(sd, concept, prompt),
        "mixed": concept.relabel_candidates,
    }
    if how in ways:
        return ways[how]
    prompt = concept.fixed_relabel_prompt if how == "fixed" else how
    if prompt is None:
        raise UsageError(f"--relabel fixed: {concept.name!r} has none; give a prompt in quotes")
    return lambda _: (prompt,)


def anchors(concept: ConceptSpec, words: str) -> Choices:
    """Forget prompts with other words for the concept's; at `random`, any relabel prompt."""
    if words == "random":
        return concept.relabel_candidates
    return lambda prompt: (concept.reworded(prompt, words.strip()),)


def _one(concept: ConceptSpec, prompt: str, seed: int) -> tuple[str]:
    """The same of the substitutes for all prompts of a concept, so that it has one answer.

    Drawn anew for each sample, what is asked for is the mean of them all: a blob.
    """
    choices = concept.relabel_candidates(prompt)
    told = f"{seed}/relabel/{concept.member_of(prompt).name}"
    number = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8])
    return (choices[number % len(choices)],)


def _nearest(sd: Bundle, concept: ConceptSpec, prompt: str) -> tuple[str]:
    """The one whose text embedding is most like the forget prompt's."""
    choices = concept.relabel_candidates(prompt)
    # Less their mean, which all prompts share.
    told = sd.encode((prompt, *choices)).embeddings.float().mean(dim=1)
    told = told - told.mean(dim=0)
    likeness = cosine_similarity(told[:1], told[1:], dim=-1)
    return (choices[int(likeness.argmax())],)
