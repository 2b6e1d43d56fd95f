"""What makes two runs the same: what was given, and not where it lay or how that was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

PLACES = ("forget_prompts", "retain_prompts", "forget_data", "retain_data", "mask")
"""Settings that tell where something lies; run.json's `inputs` has the hash of each."""


def without_spellings(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The same identity however it was written where the user's files lie."""
    found = dict(identity)
    if config := identity.get("config"):
        found["config"] = {**config, **dict.fromkeys(name for name in PLACES if name in config)}
    if concept := identity.get("concept"):
        found["concept"] = {**concept, "source": source_name(concept.get("source"))}
    return found


def without_places(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The same identity wherever the files lie that it tells of, all of which it has the hashes of.

    A concept's file keeps its name, which says what it is about.
    """
    found = without_spellings(identity)
    if base := identity.get("base"):
        found["base"] = {**base, "id": None, "config": None}
    if concepts := identity.get("concepts"):
        found["concepts"] = [_concept(each) for each in concepts]
    return found


def source_name(source: Any) -> Any:
    """Where a concept came from, of files their names alone; several are joined by " + "."""
    return " + ".join(map(_concept, source.split(" + "))) if isinstance(source, str) else source


def _concept(text: str) -> str:
    # A Windows path knows both kinds of strokes.
    return PureWindowsPath(text).name if text.lower().endswith(".toml") else text
