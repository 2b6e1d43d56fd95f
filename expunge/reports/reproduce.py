"""The command lines that make a run anew, from its run.json; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.kind.command_line import command_line


def run_command(record: Mapping[str, Any]) -> str | None:
    """The `expunge erase` or `expunge mask` of a run, every setting given; None if not recorded."""
    command, config, base = (record.get(key) for key in ("command", "config", "base"))
    concepts = record.get("concepts")
    if command not in ("erase", "mask") or not isinstance(config, dict):
        return None
    if not isinstance(base, dict) or not isinstance(concepts, list):
        return None
    flags = {"model": base.get("id"), "revision": base.get("revision")}
    flags |= {name: base.get(name) for name in ("variant", "config", "prediction_type")} | config
    return command_line(("expunge", command, *concepts), flags)
