"""A run folder: what `run.json` says, and what happens to a folder that was used before."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from prompts.errors import UsageError

SCHEMA_VERSION = 1
RUN_FILE = "run.json"
_OUTPUTS = (
    RUN_FILE,
    "mask.safetensors",
    "mask.png",
    "train_log.jsonl",
    "state.safetensors",
    "report.html",
    "report.md",
    "unet",
    "export",
    "eval",
)

FolderState = Literal["new", "unfinished", "finished"]


def is_run(folder: Path) -> bool:
    """Whether `folder` holds a `run.json`."""
    return (folder / RUN_FILE).is_file()


def read_run(folder: Path) -> dict[str, Any]:
    """The content of a run folder's `run.json`; unreadable or of another schema: UsageError."""
    path = folder / RUN_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable run.json; is {folder} a run folder?") from error
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(f"{path}: schema version {version}, this expunge reads {SCHEMA_VERSION}")
    return record


def write_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `run.json` whole or not at all; the schema version is added."""
    write_json(folder / RUN_FILE, {"schema_version": SCHEMA_VERSION, **record})


def write_json(path: Path, value: Any) -> None:
    """Write indented UTF-8 JSON through a temporary file: no reader ever sees half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def inspect_folder(out: Path, identity: Mapping[str, Any], *, overwrite: bool) -> FolderState:
    """Decide, without touching it, how to use the folder `out` for the run called `identity`.

    `identity` is what makes two runs the same (concept, config, base …), as run.json has it. A
    folder of another run is a UsageError that shows the difference, unless `overwrite`; a folder
    with foreign content always is.
    """
    if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= {"cache"}):
        return "new"
    if not is_run(out):
        raise UsageError(f"--out {out}: not empty and not a run folder; choose another folder")
    if overwrite:
        return "new"
    record = read_run(out)
    differences = _differences(record, json.loads(json.dumps(identity)))
    if differences:
        raise UsageError(
            f"--out {out}: used by another run ({'; '.join(differences[:4])}); "
            "choose another folder or add --overwrite"
        )
    return "finished" if record["finished"] else "unfinished"


def prepare_folder(out: Path, *, fresh: bool) -> None:
    """Make the folder and prove that it can be written; `fresh` clears an earlier run's outputs."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".expunge-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be written ({error.strerror}); choose another"
        ) from error
    for path in (out / name for name in _OUTPUTS if fresh):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = _flatten({key: old.get(key) for key in new}), _flatten(new)
    return [
        f"{name}: {before.get(name)} there, {after.get(name)} now"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix.rstrip("."): value}
    return {
        k: v for key, item in value.items() for k, v in _flatten(item, f"{prefix}{key}.").items()
    }
