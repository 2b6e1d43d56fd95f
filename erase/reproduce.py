"""The command lines that make a run anew, from its run.json; imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any


def run_command(record: Mapping[str, Any]) -> str | None:
    """The `expunge erase` or `expunge mask` of a run, every setting given; None if not recorded."""
    command, config, base = (record.get(key) for key in ("command", "config", "base"))
    concepts = record.get("concepts")
    if command not in ("erase", "mask") or not isinstance(config, dict):
        return None
    if not isinstance(base, dict) or not isinstance(concepts, list):
        return None
    flags = {"model": base.get("id"), "revision": base.get("revision")}
    flags |= {"variant": base.get("variant"), **config}
    return _join(("expunge", command, *concepts), flags)


def evaluation_command(kind: str, run: str, protocol: Mapping[str, Any]) -> str:
    """The `expunge evaluate` of a run, from the protocol of its evaluation.json."""
    flags: dict[str, Any] = {"sampler": protocol.get("sampler"), "steps": protocol.get("steps")}
    if kind == "i2p":
        flags = {"prompts": "i2p.csv", "protocol": protocol.get("name"), **flags}
    else:
        flags |= {key: protocol.get(key) for key in ("guidance_scale", "seed")}
    if kind == "concept":
        flags["protocol"] = protocol.get("name")
    if kind == "quality":
        source = protocol.get("prompts")
        flags |= {"images": protocol.get("images")}
        flags |= {"prompts": None if source == "retain" else source}
    return _join(("expunge", "evaluate", kind, run), flags)


def _join(words: Iterable[object], flags: Mapping[str, Any]) -> str:
    line = list(map(str, words))
    for name, value in flags.items():
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(line)
