"""The card of a model that deltas or LoRAs were applied to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from erase.export.card import CardFacts, model_card
from erase.source import ModelSource
from eval.plain_text import escape_markdown

LONGEST = 200
"""Characters of a name in a card."""


def applied_card(
    how: str,
    files: Sequence[tuple[str, str]],
    source: ModelSource,
    strength: float,
    dtype: str,
    weights_sha256: str,
) -> str:
    """The card's text; `files` are each file's concept and what else is to be told of it."""
    base = {"id": Path(source.id).name if Path(source.id).is_absolute() else source.id}
    base |= {"revision": source.revision, "digest": source.digest, "files": source.files}
    names = [escape_markdown(concept, LONGEST) for concept, _ in files]
    lines = [f"# {escape_markdown(base['id'], LONGEST)} without {' and '.join(names)}", ""]
    lines += [f"Made by `expunge apply` from {how}:", ""]
    lines += [f"- {name}: {told}" for name, (_, told) in zip(names, files, strict=True)]
    return model_card("\n".join(lines), CardFacts(base, strength, dtype, False, weights_sha256))
