"""`expunge erase`: concepts out of a model, weights and their story into a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eval.kind.command_line import command_line
from eval.report.tables import duration
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Erase

REPORT, EVALUATE = ("expunge", "report"), ("expunge", "evaluate", "concept")
"""What comes next, of a run that erased nothing, or something."""


def run(config: Erase) -> dict[str, Any]:
    """Erase, or estimate, and print a small table, or one JSON object; returns what it tells."""
    record = erase_concepts(config)
    if config.dry_run:
        print(json.dumps(record) if config.json else _bill(record))
    elif "finished" in record:
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
        "all in all": f"{_total(record):,} passes, {sum(seconds.values()):.0f} s, "
        f"{record['peak_memory_mb']} MB at peak",
        "run folder": out,
        "next": command_line([*(REPORT if nothing else EVALUATE), out], {}),
    }
    return "\n".join(f"{name:>16}  {value}" for name, value in rows.items())


def _total(record: Mapping[str, Any]) -> int:
    return sum(parts["denoiser"] for parts in record["passes"].values())


def _bill(told: Mapping[str, Any]) -> str:
    """The estimate: a line a stage, then memory and disk."""
    passes, seconds = told["passes"], told["seconds"]
    stages = {name: (passes.get(name, 0), seconds.get(name, 0.0)) for name in seconds}
    stages["all in all"] = sum(passes.values()), sum(seconds.values())
    head = f"Erasing {told['concept']} from {told['base']} on {told['device']}, estimated; "
    lines = [head + "nothing was done.", f"{'':>16}  {'passes':>12}  {'time':>12}"]
    lines += [f"{n:>16}  {count:>12,}  {duration(s):>12}" for n, (count, s) in stages.items()]
    memory, disk = sum(told["memory_gb"].values()), sum(told["disk_bytes"].values()) / 1e6
    if memory:
        lines.append(f"{'memory':>16}  about {memory:.1f} GB while training")
    lines.append(f"{'disk':>16}  about {disk:,.0f} MB in {told['out']}")
    lines.append("A pass is one row through the UNet; a backward pass counts 2.")
    return "\n".join(lines)
