"""`expunge erase`: concepts out of a model, weights and their story into a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eval.kind.command_line import command_line
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Erase

REPORT, EVALUATE = ("expunge", "report"), ("expunge", "evaluate", "concept")
"""What comes next, of a run that erased nothing, or something."""


def run(config: Erase) -> dict[str, Any]:
    """Erase, and print a small table, or one JSON object if `config.json`; returns the record."""
    record = erase_concepts(config)
    if "finished" in record:
        print(json.dumps(record) if config.json else _table(record))
    return record


def _table(record: Mapping[str, Any]) -> str:
    mask, seconds, out = record["mask"], record["seconds"], record["out"]
    stopped = record.get("stopped") or {}
    steps = stopped.get("step", record["config"].get("steps"))
    nothing = stopped.get("kept_step") == 0
    rows = {
        "erased": f"nothing of {record['concept']['name']}"
        if nothing
        else record["concept"]["name"],
        "from": record["base"]["id"],
        "weights changed": f"{0 if nothing else mask['kept']:,} of {mask['total']:,}",
        **({"steps": f"{steps} in {seconds['train']:.0f} s"} if steps else {}),
        "all in all": f"{sum(seconds.values()):.0f} s, {record['peak_memory_mb']} MB at peak",
        "run folder": out,
        "next": command_line([*(REPORT if nothing else EVALUATE), out], {}),
    }
    return "\n".join(f"{name:>16}  {value}" for name, value in rows.items())
