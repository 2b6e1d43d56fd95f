"""RECE (Gong et al., ECCV 2024): reliable and efficient concept erasure, arXiv 2407.12383.

After UCE some other embedding c' still draws the concept: one whose keys and values are what the
concept's were. It is found in closed form and erased in turn, in each epoch anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from erase.methods import uce
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


def way_back(gram: Tensor, transform: Tensor, closeness: float) -> Tensor:
    """B, [D, D]: the embedding B c gives the edited model what c gave the original.

    c' = B c minimises the sum of |W T c' - W c|^2 over the keys and values of all layers, plus
    closeness |c'|^2. With G = sum W^T W, [D, D], `gram`, it is

        B = inverse(T^T G T + closeness I) T^T G.

    A singular system is a UsageError.
    """
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    right = gram @ transform
    system = transform.mT @ right + closeness * identity
    what = "--closeness: no one embedding leads back to the concept in RECE's equations; raise it"
    return divide(right, (system + system.mT) / 2, what).mT


def found_again(moves: Moves, back: Tensor) -> Moves:
    """The embeddings B c in place of c, with the anchors c* of before."""
    own = back @ moves.own @ back.mT
    return Moves(own, (moves.change + moves.own) @ back.mT - own, moves.prompts)


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
    epochs: int,
    closeness: float,
    epoch_preserve_scale: float,
    epoch_ridge: float,
) -> dict[str, Tensor]:
    """UCE's keys and values, from which the concept is then erased as often as `epochs` says.

    The first five numbers are `uce.edit`'s. An epoch edits what the one before has left, by
    `uce.transform` with its own weight of preserving and of staying, over all tokens of the
    prompts. SDXL's pooled vector still encodes the concept.
    """
    weights = projections(sd, parameters, "to_k", "to_v")
    moves = moved_tokens(sd, concept, anchor, tokens)
    preserved = preserved_tokens(sd, concept.retain_prompts, tokens)
    scales = {"erase_scale": erase_scale, "preserve_scale": preserve_scale, "ridge": ridge}
    total = uce.transform(moves, preserved, **scales)
    if not epochs:
        return uce.apply(total, weights)
    moves = moved_tokens(sd, concept, anchor, "all")
    preserved = preserved_tokens(sd, concept.retain_prompts, "all")
    scales |= {"preserve_scale": epoch_preserve_scale, "ridge": epoch_ridge}
    gram = torch.zeros_like(total)
    for weight in weights.values():
        gram += weight.to(gram).mT @ weight.to(gram)
    for _ in range(epochs):
        again = found_again(moves, way_back(gram, total, closeness))
        total = total @ uce.transform(again, preserved, **scales)
    return uce.apply(total, weights)


METHOD = ClosedForm("RECE", edit)
