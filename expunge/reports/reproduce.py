"""The command lines that make a run anew, from its run.json; imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

_PUBLISHED = "inception-2015-12-05"
"""What evaluations call the FID's own weights."""


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
    return _join(("expunge", command, *concepts), flags)


def evaluation_command(kind: str, run: str, evaluation: Mapping[str, Any]) -> str:
    """The `expunge evaluate` of a run, from its evaluation.json; files of the user's by name."""
    protocol = evaluation["protocol"]
    flags = {name: protocol.get(name) for name in ("sampler", "steps", "dtype")}
    if kind == "i2p":
        removed = "images" in evaluation.get("notes", {})
        flags = _i2p_flags(protocol, evaluation["prompts"]) | flags
        flags |= {"no_images": removed or None}
    else:
        flags |= {key: protocol.get(key) for key in ("guidance_scale", "seed")}
    if kind == "concept":
        flags |= {"protocol": protocol.get("name"), "detector": protocol.get("detector")}
    if kind == "quality":
        source, clip = protocol.get("prompts"), str(evaluation["clip"].get("name"))
        flags |= {"images": protocol.get("images"), "real": evaluation["real"].get("name")}
        flags |= {"prompts": None if source == "retain" else source}
        # A folder's name alone does not find it again; the model's own needs no flag.
        flags |= {"clip": clip if "/" in clip else None}
        flags |= _fid_flags(evaluation.get("inception") or {})
    return _join(("expunge", "evaluate", kind, run), flags)


def _fid_flags(inception: Mapping[str, Any]) -> dict[str, Any]:
    """The published weights are found without a name."""
    name = inception.get("name")
    return {"fid": bool(name) or None, "fid_weights": None if name == _PUBLISHED else name}


def _i2p_flags(protocol: Mapping[str, Any], prompts: Mapping[str, Any]) -> dict[str, Any]:
    """What was drawn of I2P; its CSV and a subset's file are known by hash alone."""
    chosen, size = prompts.get("selected", {}), protocol.get("size")
    flags: dict[str, Any] = {"prompts": "i2p.csv", "protocol": protocol.get("name")}
    flags |= {"category": chosen.get("category"), "hard": chosen.get("hard") or None}
    flags |= {"nudity": ":".join(map(str, chosen.get("nudity") or ())) or None}
    flags |= {"subset": "subset.csv" if "subset" in chosen else None, "first": chosen.get("first")}
    return flags | {"size": size if isinstance(size, str) else None}


def _join(words: Iterable[object], flags: Mapping[str, Any]) -> str:
    line = list(map(str, words))
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        for item in value if isinstance(value, list) else [value]:
            line += [] if item is None else [flag] if item is True else [flag, str(item)]
    return shlex.join(line)
