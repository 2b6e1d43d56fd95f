"""`expunge undo`: the base again, from what deltas made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from expunge.exports.undo import undo
from expunge.settings.apply import Undo


def run(settings: Undo) -> dict[str, Any]:
    """Undo, and print a small table, or one JSON object; returns what was written."""
    result = undo(settings)
    print(json.dumps(result) if settings.json else _table(result))
    return result


def _table(result: Mapping[str, Any]) -> str:
    rows = {
        "from": result["from"],
        "base": result["model"],
        "weights": f"{result['dtype']}, as the base has them",
        "checked": f"the UNet is the base's, bit for bit ({result['base_unet'][:12]})",
        "sha256": result["sha256"],
    }
    return "\n".join(f"{name:>10}  {value}" for name, value in rows.items())
