"""SPEED (Li et al., ICLR 2026): editing in the null space of what is retained, arXiv 2503.07392.

Each layer's values W c are edited only in directions that no retained embedding has. What is
retained is refined layer by layer: to the prompts that erasing would move most, and noisy copies of
them. What every prompt begins with, and is padded with, keeps its values by a constraint.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from erase.methods.method import ClosedForm
from erase.methods.text_tokens import (
    embeddings,
    last_embeddings,
    moved_tokens,
    projections,
    require_regular,
)
from erase.models.bundle import Bundle
from plumbing.errors import UsageError
from prompts.concept import ConceptSpec

log = logging.getLogger(__name__)
_CENTRES = 3
"""Of the tokens of the empty prompt but its first, as published."""
_NOTHING = 1e-9
"""Of the concept's tokens, squared: less than this is rounding."""
_DEPENDENT = 1e-12
"""An invariant of which no more than this share is free keeps its values without a constraint."""


def edited(
    weight: Tensor,
    moved: Tensor,
    factor: Tensor,
    kept: Tensor,
    invariants: Tensor,
    *,
    ridge: float,
    slack: float,
) -> Tensor:
    """W + DP, [out, D]: a layer's new weight, with DP in the null space of what is kept.

    Of all DP that leave the invariants' values as they are it is the one that minimises, over the
    concept's tokens c with their anchors c*,

        the mean over prompts of sum |(W + DP) c - W c*|^2, plus ridge |DP|^2.

    `moved` is W B, [out, D], B the mean of (c* - c) c^T; F, `factor`, [D, R], is such that F F^T is
    C, the mean of c c^T; P = I - V V^T leaves out what is `kept`, V, [D, K] with orthonormal
    columns; the invariants are K2, [D, J]. With H = P inverse(C P + ridge I), which is symmetric,
    the paper's solution is

        DP = W B (H - H K2 inverse(K2^T H K2 + slack I) K2^T H);

    `slack` above 0 lets the invariants give way. Invariants that are kept anyway are passed over.
    """

    def free(x: Tensor) -> Tensor:
        return x - kept @ (kept.mT @ x)

    inner = free(factor)
    held = resolve(free(invariants), inner, ridge)
    system = invariants.mT @ held
    system = (system + system.mT) / 2 + slack * torch.eye(len(system)).to(system)
    smallest = _DEPENDENT * float(invariants.square().sum(dim=0).max()) / ridge
    inverse = torch.linalg.pinv(system, atol=smallest, rtol=0.0, hermitian=True)
    return weight + resolve(free(moved.mT), inner, ridge).mT - moved @ held @ inverse @ held.mT


def resolve(x: Tensor, factor: Tensor, ridge: float) -> Tensor:
    """inverse(F F^T + ridge I) x, by Woodbury's identity: F, [D, R], has few columns."""
    system = factor.mT @ factor + ridge * torch.eye(factor.shape[1]).to(factor)
    return (x - factor @ torch.linalg.solve(system, factor.mT @ x)) / ridge


def refined(
    retained: Tensor,
    alone: Tensor,
    least: Tensor,
    *,
    copies: int,
    filtered: bool,
    generator: torch.Generator,
) -> Tensor:
    """What a layer retains, [P', D], of the embeddings `retained`, [P, D].

    `alone`, [out, D], is what erasing without any constraint would add to the layer's weight. If
    `filtered`, those stay that it would move more than the mean (the paper's influence-based prior
    filtering). `copies` of each are moved by noise along `least`, [D], the direction that the layer
    hardly sees, and of these, too, those stay that it would move more than their mean (directed
    prior augmentation).
    """
    moved = retained @ alone.mT
    if filtered:
        most = _above_mean(moved)
        retained, moved = retained[most], moved[most]
    if not copies:
        return retained
    noise = torch.randn(copies * len(retained), 1, dtype=torch.float64, generator=generator)
    noise = noise.to(least)
    most = _above_mean(moved.repeat(copies, 1) + noise * (alone @ least))
    return torch.cat([retained, (retained.repeat(copies, 1) + noise * least)[most]])


def _above_mean(moved: Tensor) -> Tensor:
    norms = moved.norm(dim=1)
    # One alone, or all alike, are not below themselves.
    return norms >= norms.mean() * (1 - 1e-9)


def least_direction(weight: Tensor) -> Tensor:
    """The right singular vector of a weight's least singular value, [D]."""
    tall = weight.shape[0] > weight.shape[1]
    gram = weight.mT @ weight if tall else weight @ weight.mT
    vector = torch.linalg.eigh(gram).eigenvectors[:, 0]
    return vector if tall else normalize(weight.mT @ vector, dim=0)


def kept_directions(retained: Tensor, basis: Tensor, threshold: float) -> Tensor:
    """The directions, [D, K], in which retained embeddings, [P, D], lie: orthonormal columns.

    They are the eigenvectors of the mean of e e^T whose eigenvalues reach the threshold. `basis`,
    [D, B], has orthonormal columns that span all embeddings: what is beside it is not retained.
    """
    rows = retained @ basis
    values, vectors = torch.linalg.eigh(rows.mT @ rows / len(rows))
    return basis @ vectors[:, values >= threshold]


def invariant_tokens(sd: Bundle) -> Tensor:
    """The empty prompt's first token, and the centres of its others, [D, 4]."""
    empty = embeddings(sd, [""])[0]
    return torch.cat([empty[:1], centres(empty[1:], _CENTRES)]).mT


def centres(rows: Tensor, count: int) -> Tensor:
    """K-means of rows, [count, D], from rows at even distances: the same in each run."""
    found = rows[torch.linspace(0, len(rows) - 1, count).round().long()]
    for _ in range(100):
        nearest = torch.cdist(rows, found).argmin(dim=1)
        groups = [rows[nearest == i] for i in range(count)]
        means = [g.mean(dim=0) if len(g) else found[i] for i, g in enumerate(groups)]
        if torch.equal(torch.stack(means), found):
            break
        found = torch.stack(means)
    return found


def edit(
    sd: Bundle,
    parameters: Mapping[str, nn.Parameter],
    concept: ConceptSpec,
    *,
    anchor: str | None,
    tokens: str,
    threshold: float,
    ridge: float,
    slack: float,
    copies: int,
    no_filter: bool,
    seed: int,
) -> dict[str, Tensor]:
    """The values of cross-attention without the concept; see `edited`, `refined`.

    `anchor` is what it is read as (see `pair_prompts`), `tokens` are `last`, `rest` or `all` (see
    `moved_tokens`); of a retain prompt it is the last token before the end. UsageError if what is
    retained leaves no direction free. SDXL's pooled vector still encodes the concept.
    """
    weights = projections(sd, parameters, "to_v")
    moves = moved_tokens(sd, concept, anchor, tokens)
    change, own = moves.change / moves.prompts, moves.own / moves.prompts
    system = own + ridge * torch.eye(len(own)).to(own)
    require_regular(system, "--ridge: it leaves SPEED's equations singular; raise it")
    factor, invariants = root(own), invariant_tokens(sd)
    retained = last_embeddings(sd, concept.retain_prompts)
    basis = torch.linalg.qr(retained.mT).Q
    generator = torch.Generator().manual_seed(seed)
    how = {"copies": copies, "filtered": not no_filter, "generator": generator}
    found, shares = {}, []
    for name, p in weights.items():
        weight = p.to(change)
        moved = weight @ change
        alone = resolve(moved.mT, factor, 1.0).mT
        least = least_direction(weight)
        rows = refined(retained, alone, least, **how)
        wider = torch.linalg.qr(torch.cat([basis, least[:, None]], dim=1)).Q
        kept = kept_directions(rows, wider, threshold)
        free = (factor - kept @ (kept.mT @ factor)).square().sum() / factor.square().sum()
        if free < _NOTHING:
            raise UsageError(
                f"--threshold {threshold:g}: what is retained has all directions of the concept's "
                f"tokens in {name}, so nothing can be erased; raise it, or retain fewer prompts"
            )
        shares.append(float(free))
        new = edited(weight, moved, factor, kept, invariants, ridge=ridge, slack=slack)
        found[name] = new.float()
    log.info(
        "SPEED: %.3g %% of the concept's tokens lie in directions that nothing retained has; the "
        "rest stays as it is",
        100 * sum(shares) / len(shares),
    )
    return found


def root(matrix: Tensor) -> Tensor:
    """F, [D, R], with F F^T a symmetric matrix without negative eigenvalues, but for rounding."""
    values, vectors = torch.linalg.eigh(matrix)
    there = values > values[-1] * torch.finfo(values.dtype).eps
    return vectors[:, there] * values[there].sqrt()


METHOD = ClosedForm("SPEED", edit)
