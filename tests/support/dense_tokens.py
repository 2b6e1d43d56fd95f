"""Closed forms the slow way: every token a row of its own, found by hand in the tiny tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from erase.models.bundle import Bundle
from prompts.concept import ConceptSpec, Vocabulary, load_concept
from prompts.wording import article
from support.tiny_models import OBJECTS, STYLES, TOKENS

LAST = TOKENS - 2
"""The last place for a letter: a prompt begins and ends with a token of its own."""


def church(retain: Sequence[str] = ("a dog", "an apple", "a dog, night style")) -> ConceptSpec:
    """The tiny model's church, with few prompts to retain."""
    concept = load_concept("church", Vocabulary(OBJECTS, STYLES))
    return replace(concept, retain_prompts=tuple(retain))


def rows(sd: Bundle, prompt: str) -> Tensor:
    """All tokens of a prompt, [L, D], in float64."""
    return sd.encode([prompt]).embeddings[0].double()


def place(prompt: str, word: str | None = None) -> int:
    """The token of the last letter of a word's last mention, or of the prompt.

    The tiny tokenizer spells: token i is the i-th letter, and token 0 the beginning.
    """
    end = len(prompt) if word is None else prompt.rindex(word) + len(word)
    return min(len(prompt[:end].replace(" ", "")), LAST)


def moved(
    sd: Bundle, concept: ConceptSpec, word: str, anchor: str, tokens: str
) -> tuple[Tensor, Tensor]:
    """The concept's tokens and their anchors', [T, D] each, of all forget prompts that say `word`.

    `anchor` is put where `word` stands; `""` is the empty prompt. Of `all`, for `""` alone.
    """
    here, there = [], []
    for prompt in concept.forget_prompts:
        if word not in prompt:
            continue
        other = prompt.replace(f"a {word}", f"{article(anchor)} {anchor}").replace(word, anchor)
        other = other if anchor else ""
        own, its = rows(sd, prompt), rows(sd, other)
        at, at_other = place(prompt, word), place(other, anchor) if anchor else 0
        for step in range(TOKENS):
            if tokens == "all":
                here.append(own[step])
                there.append(its[step])
            elif at + step < TOKENS and at_other + step < TOKENS and (tokens == "rest" or not step):
                here.append(own[at + step])
                there.append(its[at_other + step])
    return torch.stack(here), torch.stack(there)


def retained(sd: Bundle, prompts: Sequence[str], tokens: str) -> Tensor:
    """The last letter's token of each prompt, [P, D], or all tokens of all, [P L, D]."""
    if tokens == "last":
        return torch.stack([rows(sd, prompt)[place(prompt)] for prompt in prompts])
    return torch.cat([rows(sd, prompt) for prompt in prompts])


def weights(sd: Bundle, *names: str) -> dict[str, Tensor]:
    """Cross-attention's weights of some names, in float64."""
    return {
        name: p.detach().double()
        for name, p in sd.denoiser.named_parameters()
        if ".attn2." in name and name.split(".")[-2] in names
    }


def least_squares(parts: Sequence[tuple[float, Tensor, Tensor]]) -> Tensor:
    """W, [out, D], that minimises the sum of weight * |W c - v|^2 over parts of rows (c, v)."""
    left = torch.cat([weight**0.5 * c for weight, c, _ in parts])
    right = torch.cat([weight**0.5 * v for weight, _, v in parts])
    return torch.linalg.lstsq(left, right, driver="gelsd").solution.mT
