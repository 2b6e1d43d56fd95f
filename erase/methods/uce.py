"""UCE (Gandikota et al., WACV 2024): unified concept editing, arXiv 2308.14761.

Keys and values of cross-attention, W c for a token c of the prompt, are computed anew so that the
concept's tokens give what other words' give, and preserved tokens what they gave.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from erase.methods.method import ClosedForm
from erase.methods.text_tokens import (
    Moves,
    divide,
    moved_tokens,
    preserved_tokens,
    projections,
)
from erase.models.bundle import Bundle
from prompts.concept import ConceptSpec


def transform(
    moves: Moves, preserved: Tensor, *, erase_scale: float, preserve_scale: float, ridge: float
) -> Tensor:
    """T, [D, D]: the new weights are W T, for keys and values of every layer alike.

    W T minimises over W', with c* the anchor of c (equation 7),

        erase_scale sum |W' c - W c*|^2 + preserve_scale sum |W' p - W p|^2 + ridge |W' - W|^2

    over the concept's tokens c and the preserved tokens p, `preserved` the sum of p p^T. With
    A = erase_scale sum c c^T + preserve_scale sum p p^T + ridge I it is

        T = I + erase_scale sum (c* - c) c^T inverse(A),

    which is I, to the bit, where every c* is c. A singular A is a UsageError.
    """
    identity = torch.eye(len(preserved), dtype=preserved.dtype, device=preserved.device)
    system = erase_scale * moves.own + preserve_scale * preserved + ridge * identity
    what = "--ridge: the tokens leave UCE's equations singular; raise it"
    return identity + divide(erase_scale * moves.change, system, what)


def edit(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    concept: ConceptSpec,
    *,
    anchor: str | None,
    tokens: str,
    erase_scale: float,
    preserve_scale: float,
    ridge: float,
) -> dict[str, Tensor]:
    """The keys and values of cross-attention without the concept; see `transform`.

    `anchor` is what it is read as (see `pair_prompts`), `tokens` are `last`, `rest` or `all` (see
    `moved_tokens`). SDXL's pooled vector still encodes the concept.
    """
    weights = projections(sd, parameters, "to_k", "to_v")
    moves = moved_tokens(sd, concept, anchor, tokens)
    preserved = preserved_tokens(sd, concept.retain_prompts, tokens)
    scales = {"erase_scale": erase_scale, "preserve_scale": preserve_scale, "ridge": ridge}
    found = transform(moves, preserved, **scales)
    return apply(found, weights)


def apply(transform: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """W T of each W, [out, D], in float32."""
    return {name: (w.to(transform) @ transform).float() for name, w in weights.items()}


METHOD = ClosedForm("UCE", edit)
