"""The README.md of an exported model: a card that model hubs read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from erase.models.hub import looks_like_hub_id
from erase.run_folder.record import Base
from plumbing.visible_text import visible

_USE = """
## Use
```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("FOLDER")
image = pipeline("a prompt").images[0]
```"""
_LONGEST = 300
_LICENCE = """
## Licence
The base's licence applies; see the base model."""


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beside the report of the run."""

    base: Base
    """The base model, as run.json has it, under a name that may be published."""
    strength: float
    dtype: str
    """How this copy's UNet is stored, by torch's name."""
    as_measured: bool
    """Whether its weights are the very ones that the evaluations drew with."""
    weights_sha256: str
    method: str | None = None
    """By which it was erased, if by one."""


def model_card(report: str, facts: CardFacts) -> str:
    """The card: front matter, the run's `report` in Markdown, then use, provenance and licence."""
    parts = [_front_matter(facts), report.strip(), _strength(facts), _USE]
    return "\n".join([*parts, _provenance(facts), _LICENCE]) + "\n"


def _front_matter(facts: CardFacts) -> str:
    base, method = facts.base, facts.method or ""
    lines = ["---", "library_name: diffusers", "pipeline_tag: text-to-image"]
    if looks_like_hub_id(base.id):
        lines.append(f"base_model: {base.id}")
    lines += ["license: other", "license_name: as-the-base-model"]
    # A stranger's run.json may have anything for it.
    tags = [
        "concept-erasure",
        *([method] if re.fullmatch(r"[a-z]{1,30}", method) else []),
        "expunge",
    ]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _strength(facts: CardFacts) -> str:
    if facts.as_measured:
        return ""
    return (
        f"\n**This copy was not measured.** Its UNet is at strength {facts.strength:g} (0: the "
        f"original, 1: the erased model) in {facts.dtype}; any figures above are of the run's own "
        "weights, at strength 1 in the precision that their protocol names."
    )


def _code(text: object) -> str:
    """Text that ends neither a span of code nor a table's cell, whoever wrote it."""
    line = " ".join(visible(str(text), kept="").split())
    return line[:_LONGEST].replace("`", "'").replace("|", "\u00a6").replace("<", "\u2039")


def _provenance(facts: CardFacts) -> str:
    base = facts.base
    rows = {
        "base model": base.id,
        "revision": base.revision or "none",
        "base, all files": base.digest,
        "this UNet's file": facts.weights_sha256,
        "stored as": facts.dtype,
        "strength": f"{facts.strength:g}",
        **{f"base {name}": sha for name, sha in base.files.items()},
    }
    table = [f"| {_code(name)} | `{_code(value)}` |" for name, value in rows.items()]
    note = "Every part but `unet/` is the base's, byte for byte. Hashes are sha256."
    return "\n".join(["", "## Provenance", note, "", "| | |", "|:--|:--|", *table])
