"""Prompts in which some words are vectors, with gradients: what textual inversion learns.

A word that no vocabulary has is told to the text encoders in place of `SLOT`; every other word
goes its usual way, through the architecture's own `encode`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from erase.diffusion.conditioning import Conditioning
from erase.models.bundle import Bundle
from plumbing.errors import UsageError

SLOT = "~"
"""Stands in a prompt where a vector goes; a token of its own in the text encoders' vocabularies."""

Vectors = Sequence[Tensor]
"""For each text encoder its vectors, [K, W], or [P, K, W] if each of P prompts has its own."""


def encode_soft(bundle: Bundle, prompts: Sequence[str], vectors: Vectors) -> Conditioning:
    """Encode prompts that have K times `SLOT` each, keeping the gradient to the vectors.

    UsageError where a slot lies behind the last token that a text encoder sees.
    """
    parts = dict(bundle.parts)
    for number, own in zip(_encoders(bundle), vectors, strict=True):
        slot = _slot(bundle, number)
        parts[f"text_encoder{number}"] = _Filled(parts[f"text_encoder{number}"], slot, own)
    return bundle.architecture.encode(parts, list(prompts))


def word_tables(bundle: Bundle) -> list[Tensor]:
    """The token embeddings of each text encoder, [V, W]: the vectors of all words that it knows."""
    return [
        bundle.parts[f"text_encoder{number}"].get_input_embeddings().weight.detach()
        for number in _encoders(bundle)
    ]


def word_ids(bundle: Bundle, text: str) -> list[int]:
    """The tokens of a text in the first text encoder's vocabulary, without begin and end."""
    tokenizer = bundle.parts[f"tokenizer{_encoders(bundle)[0]}"]
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def text_of(bundle: Bundle, ids: Sequence[int]) -> str:
    """The text of tokens, which may be read as other tokens when it is encoded again."""
    tokenizer = bundle.parts[f"tokenizer{_encoders(bundle)[0]}"]
    return tokenizer.decode(list(ids), skip_special_tokens=True).strip()


def special_ids(bundle: Bundle) -> list[int]:
    """The tokens that are not text, such as begin and end."""
    tokenizer = bundle.parts[f"tokenizer{_encoders(bundle)[0]}"]
    return sorted(set(tokenizer.all_special_ids))


def _encoders(bundle: Bundle) -> list[str]:
    """The numbers of the text encoders as they end their names: "", "_2"."""
    names = [name for name in bundle.architecture.parts if name.startswith("text_encoder")]
    return [name.removeprefix("text_encoder") for name in names]


def _slot(bundle: Bundle, number: str) -> int:
    tokenizer = bundle.parts[f"tokenizer{number}"]
    ids = tokenizer(SLOT, add_special_tokens=False).input_ids
    # What a tokenizer does not know it may give its unknown token for.
    if len(ids) != 1 or ids[0] in tokenizer.all_special_ids:
        raise UsageError(
            f"--model {bundle.source.id}: its tokenizer{number} has no token for {SLOT!r}, so no "
            "word can be learned for it"
        )
    return ids[0]


class _Filled:
    """A text encoder that is told vectors wherever a token is the slot."""

    def __init__(self, encoder: Any, slot: int, vectors: Tensor) -> None:
        self._encoder, self._slot, self._vectors = encoder, slot, vectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def __call__(self, input_ids: Tensor, **words: Any) -> Any:
        slots = input_ids == self._slot
        wanted = self._vectors.shape[-2]
        if (slots.sum(dim=1) != wanted).any():
            raise UsageError(
                f"a prompt is too long for the text encoder: not all of its {wanted} learned words "
                "are seen; shorten it"
            )
        with self._filling(slots):
            return self._encoder(input_ids, **words)

    @contextmanager
    def _filling(self, slots: Tensor) -> Iterator[None]:
        own = self._vectors.expand(len(slots), *self._vectors.shape[-2:])

        def fill(module: Any, inputs: Any, output: Tensor) -> Tensor:
            # masked_scatter takes row by row, as the mask does.
            mask = slots.unsqueeze(-1).expand_as(output)
            return output.detach().masked_scatter(mask, own.to(output))

        handle = self._encoder.get_input_embeddings().register_forward_hook(fill)
        try:
            yield
        finally:
            handle.remove()
