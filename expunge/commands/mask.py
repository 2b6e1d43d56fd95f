"""`expunge mask`: the saliency mask alone, where it lies, and a picture of that."""

from __future__ import annotations

import json
from typing import Any

from expunge.runs.mask import build
from expunge.settings.erase import Mask


def run(config: Mask) -> dict[str, Any]:
    """Build a mask, print its shares, or one JSON object if `config.json`; returns the record."""
    record = build(config)
    print(json.dumps(record) if config.json else _table(record))
    return record


def _table(record: dict[str, Any]) -> str:
    mask = record["mask"]
    lines = [f"{mask['concept']}: {mask['kept']:,} of {mask['total']:,} weights may change", ""]
    for title in ("blocks", "kinds"):
        lines += [
            f"{row['part']:>20}  {row['percent']:5.1f} % of {row['total']:>12,}"
            for row in record[title]
        ]
        lines.append("")
    lines += [f"mask     {record['out']}/mask.safetensors", f"picture  {record['out']}/mask.png"]
    return "\n".join(lines)
