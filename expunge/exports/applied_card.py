"""What a model says of itself to which deltas or LoRAs were applied: metadata and card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from erase.export.card import CardFacts, model_card
from erase.models.architectures.known import of_config
from erase.models.model_source import ModelSource
from erase.run_folder.record import Base
from plumbing.visible_text import escape_markdown
from plumbing.whole_files import sha256_file

LONGEST = 200
"""Characters of a name in a card."""


def applied_metadata(
    kind: str,
    files: Sequence[Path],
    told: Sequence[Mapping[str, str]],
    strength: float,
    config: Mapping[str, Any],
) -> dict[str, str]:
    """The header of the UNet's file; `kind` is `deltas` or `loras`, `told` their own headers."""
    concepts = " and ".join(header["expunge.concept"] for header in told)
    modelspec = of_config(config).modelspec
    named = {"modelspec.architecture": modelspec(config, "epsilon")} if modelspec else {}
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"without {concepts}",
        **named,
        "modelspec.implementation": "diffusers",
        "modelspec.description": f"{concepts} erased by expunge, from {kind}",
        "expunge.concept": concepts,
        "expunge.base": told[0]["expunge.base"],
        f"expunge.{kind}": json.dumps([sha256_file(file) for file in files]),
        "expunge.strength": repr(strength),
    }


def applied_card(
    how: str,
    files: Sequence[tuple[str, str]],
    source: ModelSource,
    strength: float,
    dtype: str,
    weights_sha256: str,
) -> str:
    """The card's text; `files` are each file's concept and what else is to be told of it."""
    name = Path(source.id).name if Path(source.id).is_absolute() else source.id
    base = Base(name, source.revision, digest=source.digest, files=source.files)
    names = [escape_markdown(concept, LONGEST) for concept, _ in files]
    lines = [f"# {escape_markdown(base.id, LONGEST)} without {' and '.join(names)}", ""]
    lines += [f"Made by `expunge apply` from {how}:", ""]
    lines += [f"- {name}: {told}" for name, (_, told) in zip(names, files, strict=True)]
    return model_card("\n".join(lines), CardFacts(base, strength, dtype, False, weights_sha256))
