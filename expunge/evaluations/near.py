"""What a concept is most like for a model's text encoder: where an erasure spills over first."""

from collections.abc import Sequence

import torch
from torch.nn.functional import cosine_similarity

from erase.models.checkpoint import load_text_encoders
from erase.models.model_source import ModelSource
from prompts.concept import ConceptSpec, Vocabulary
from prompts.evaluation_rows import NEAREST, own_labels

_AT_ONCE = 64


def nearest_labels(
    spec: ConceptSpec, words: Vocabulary | None, home: ModelSource, device: torch.device
) -> tuple[str, ...]:
    """The `NEAREST` labels of the concept's own domain, nearest first; none if no judge names it.

    By the cosine between text embeddings of the labels, averaged over the prompt's places, less
    their mean over all labels, which every prompt shares.
    """
    own, others = own_labels(spec, words or Vocabulary((), ()))
    if not others:
        return ()
    parts, encode = load_text_encoders(home, device), home.architecture.encode
    labels = [*own, *others]
    chunks = [labels[i : i + _AT_ONCE] for i in range(0, len(labels), _AT_ONCE)]
    with torch.no_grad():
        told = torch.cat([encode(parts, chunk).embeddings.mean(dim=1) for chunk in chunks])
    return _nearest(told - told.mean(dim=0), len(own), others)


def _nearest(told: torch.Tensor, own: int, others: Sequence[str]) -> tuple[str, ...]:
    """`told` is [labels, D], the concept's `own` first."""
    likeness = cosine_similarity(told[:own, None], told[None, own:], dim=-1).amax(dim=0)
    order = likeness.argsort(descending=True, stable=True)[:NEAREST]
    return tuple(others[int(i)] for i in order)
