"""`expunge export`: what a run erased as a UNet, as a whole model, as a LoRA, or as a delta."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from expunge.exports.export import export_run
from expunge.exports.export_lora import lora_rows
from expunge.settings.export import Export


def run(settings: Export) -> dict[str, Any]:
    """Export, and print a small table, or one JSON object; returns what was written."""
    result = export_run(settings)
    print(json.dumps(result) if settings.json else _table(result))
    return result


def _table(result: Mapping[str, Any]) -> str:
    weights = f"{result['dtype']} at strength {result['strength']:g}"
    if result["format"] == "single-file":
        weights += f"; {result['unet']} of {result['tensors']} tensors are the UNet's"
        weights += f", {len(result['dropped'])} of copies of it left out"
    size = f"{result['bytes']:,} bytes"
    if result["format"] in ("delta", "lora"):
        size += f", {100 * result['bytes'] / result['unet_bytes']:.1f} % of the UNet's"
    rows = {
        "erased": result["concept"],
        result["format"]: result["export"],
        "weights": weights,
        **(lora_rows(result) if result["format"] == "lora" else {}),
        "size": size,
        "sha256": result["sha256"],
        "checked": "read back, every tensor bit-equal"
        if result["written"]
        else "this very export was there",
        **({"pushed": result["pushed"]} if "pushed" in result else {}),
    }
    return "\n".join(f"{name:>10}  {value}" for name, value in rows.items())
