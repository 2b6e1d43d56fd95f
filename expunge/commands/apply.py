"""`expunge apply`: the model that deltas or LoRAs make of their base."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from expunge.exports.apply import apply
from expunge.settings.apply import Apply


def run(settings: Apply) -> dict[str, Any]:
    """Apply, and print a small table, or one JSON object; returns what was written."""
    result = apply(settings)
    print(json.dumps(result) if settings.json else _table(result))
    return result


def _table(result: Mapping[str, Any]) -> str:
    if result["kind"] == "lora":
        conflicts = f"{result['conflicts']:,} weights that more than one LoRA alters"
        resolved = "; what they add is summed, in any order"
        joined = " and "
    else:
        conflicts = f"{result['conflicts']:,} weights that more than one delta changes"
        resolved = "; the later one's values stand"
        joined = ", then "
    rows = {
        "erased": joined.join(result["erased"]),
        "from": result["base"],
        "model": result["model"],
        "weights": f"{result['dtype']} at strength {result['strength']:g}",
        "conflicts": conflicts + (resolved if result["conflicts"] else ""),
        "sha256": result["sha256"],
        "checked": "read back, every tensor bit-equal"
        if result["written"]
        else "this very model was there",
    }
    return "\n".join(f"{name:>10}  {value}" for name, value in rows.items())
