"""What closed forms know of text: the tokens that name a concept, and those to be preserved.

A token of a prompt is an embedding c of D numbers, as the cross-attention of the denoiser is told
it. Keys and values are linear in it, so that a closed form needs no more than sums of products
c c^T, [D, D], however many tokens there are. All sums are in float64.

SDXL's D numbers are those of both text encoders. Its pooled vector, which no cross-attention sees,
is not edited, and still encodes the concept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from erase.models.bundle import AT_ONCE, Bundle
from plumbing.errors import UsageError
from prompts.anchor import Pair, Place, pair_prompts
from prompts.concept import ConceptSpec

log = logging.getLogger(__name__)
_SINGULAR = 1e-12
"""Of its largest eigenvalue: a smaller one leaves a solution no digit that a weight could hold."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class Moves:
    """Tokens c of the concept and their anchors c*, summed over all pairs of prompts."""

    own: Tensor
    """The sum of c c^T, [D, D]."""
    change: Tensor
    """The sum of (c* - c) c^T, [D, D]; exactly 0 where c* is c."""
    prompts: int
    """How many pairs of prompts there are."""


def last_tokens(sd: Bundle, prompts: Sequence[str], words: Sequence[Place | None]) -> list[int]:
    """The place of the last token of some words in each prompt: `last subject token` in the papers.

    Of words of several tokens only the last is meant: the text encoders look back, so that it has
    read all of them. Without words, or if their end is cut off, it is the last token before the
    end; of the empty prompt that is its beginning. UsageError if two tokenizers disagree.
    """
    names = [name for name in sd.parts if name.startswith("tokenizer")]
    found = [_last_tokens(sd.parts[name], prompts, words) for name in names]
    if any(places != found[0] for places in found):
        raise UsageError(
            f"--model {sd.source.id}: its tokenizers split words differently, so no token of both "
            "text encoders is one word's"
        )
    return found[0]


def _last_tokens(
    tokenizer: Any, prompts: Sequence[str], words: Sequence[Place | None]
) -> list[int]:
    tokens = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_offsets_mapping=True,
    )
    places = []
    for span, seen, offsets in zip(
        words, tokens["attention_mask"], tokens["offset_mapping"], strict=True
    ):
        start, end = span or (0, 0)
        # Begin, end and padding stand nowhere in the text: from 0 to 0.
        inside = [i for i, (a, b) in enumerate(offsets) if a < end and b > start]
        places.append(inside[-1] if inside else sum(seen) - 2)
    return places


def moved_tokens(sd: Bundle, concept: ConceptSpec, anchor: str | None, tokens: str) -> Moves:
    """The tokens of the forget prompts and their anchors'.

    `tokens` are the `last` of the concept's words alone; it and the `rest` up to the end of the
    padding, which have read it; or `all`: place by place, or from the concept's words on by their
    places where other words stand for them. UsageError if nothing moves.
    """
    pairs = pair_prompts(concept, anchor)
    own = change = torch.zeros(())
    for some in _chunks(pairs):
        here, there = map(torch.cat, zip(*_rows(sd, some, tokens), strict=True))
        own, change = own + here.mT @ here, change + (there - here).mT @ here
    if not change.any():
        raise UsageError(
            "--anchor: the text encoder reads each forget prompt as its anchor, so that nothing is "
            "to be moved; give another"
        )
    return Moves(own, change, len(pairs))


def _rows(sd: Bundle, pairs: Sequence[Pair], tokens: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Embeddings of the concept and those of its anchor, [T, D] each, prompt by prompt."""
    prompts, anchors = [p.prompt for p in pairs], [p.anchor for p in pairs]
    told = embeddings(sd, prompts), embeddings(sd, anchors)
    starts = (
        last_tokens(sd, prompts, [p.words for p in pairs]),
        last_tokens(sd, anchors, [p.anchor_words for p in pairs]),
    )
    for pair, own, other, start, start_there in zip(pairs, *told, *starts, strict=True):
        count = len(own) - max(start, start_there)
        here, there = own[start : start + count], other[start_there : start_there + count]
        if tokens == "last":
            yield here[:1], there[:1]
        elif tokens == "rest":
            yield here, there
        elif pair.anchor_words:
            # The same words stand before the concept's and the anchor's.
            before = min(start, start_there)
            yield torch.cat([own[:before], here]), torch.cat([other[:before], there])
        else:
            yield own, other


def preserved_tokens(sd: Bundle, prompts: Sequence[str], tokens: str) -> Tensor:
    """The sum of c c^T, [D, D]: of each prompt's `last` token before its end, else of all tokens.

    The empty prompt is one of them: guidance leads away from it.
    """
    kept = torch.zeros(())
    for some in _chunks(["", *prompts]):
        rows = last_embeddings(sd, some) if tokens == "last" else embeddings(sd, some).flatten(0, 1)
        kept = kept + rows.mT @ rows
    return kept


def last_embeddings(sd: Bundle, prompts: Sequence[str]) -> Tensor:
    """The embedding of the last token before the end of each of P prompts, [P, D]."""
    found = []
    for some in _chunks(prompts):
        places = last_tokens(sd, some, [None] * len(some))
        found.append(embeddings(sd, some)[torch.arange(len(some)), places])
    return torch.cat(found)


def projections(
    sd: Bundle, parameters: Mapping[str, nn.Parameter], *names: str
) -> dict[str, Tensor]:
    """Cross-attention's weights of some names (`to_k`, `to_v`), [out, D] each; none: UsageError.

    A pooled vector, which they do not read, still encodes the concept: a warning says so.
    """
    empty = sd.encode(("",))
    width = empty.embeddings.shape[-1]
    chosen = {
        name: p.detach()
        for name, p in parameters.items()
        if any(name.endswith(f".attn2.{each}.weight") for each in names)
    }
    if not chosen or any(p.shape[-1] != width for p in chosen.values()):
        raise UsageError(
            f"--method: this {sd.architecture.denoiser_name} has no cross-attention that reads the "
            f"text encoder's {width} numbers a token as they are; choose a trained method"
        )
    if empty.pooled is not None:
        log.warning(
            "%s: its pooled text vector is not edited and still encodes the concept; "
            "measure what is left (`expunge evaluate concept`)",
            sd.source.id,
        )
    return chosen


def divide(right: Tensor, system: Tensor, what: str) -> Tensor:
    """Right @ inverse(system) of a symmetric [D, D] system; see `require_regular`."""
    require_regular(system, what)
    return torch.cholesky_solve(right.mT, torch.linalg.cholesky(system)).mT


def require_regular(system: Tensor, what: str) -> None:
    """Refuse, as a UsageError, a symmetric system [D, D] without an inverse above rounding.

    `what` says which system it is, and how to mend it.
    """
    values = torch.linalg.eigvalsh(system)
    if not values[0] > _SINGULAR * values[-1]:
        raise UsageError(f"{what} (its eigenvalues go from {values[0]:.1e} to {values[-1]:.1e})")


def embeddings(sd: Bundle, prompts: Sequence[str]) -> Tensor:
    """[P, L, D] in float64, on the GPU if the denoiser is on one; others know no float64."""
    device = sd.denoiser.device
    place = device if device.type == "cuda" else torch.device("cpu")
    return sd.encode(prompts).embeddings.to(place).double()


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[i : i + AT_ONCE] for i in range(0, len(items), AT_ONCE))
