"""A run folder: what `run.json` says, and what happens to a folder that was used before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from erase.run_folder.identity import without_places
from erase.run_folder.record import SCHEMA_VERSION, RunRecord
from plumbing.errors import UsageError
from plumbing.home import find_home
from plumbing.inside import require_no_way_out
from plumbing.json_file import read_object
from plumbing.record import parse_record, to_json
from plumbing.visible_text import without_home
from plumbing.whole_files import clear_partials, partial_path, remove, replace_file

RUN_FILE = "run.json"
DENOISERS = ("unet", "transformer")
"""What the folder of the erased weights may be called: as in diffusers' pipelines."""
_OUTPUTS = (
    "mask.safetensors",
    "mask.png",
    "train_log.jsonl",
    "state.safetensors",
    "lora.safetensors",
    "report.html",
    "report.md",
    *DENOISERS,
    "export",
    "eval",
)

_FINISHED = {"erase": ("mask", "seconds", "weights"), "mask": ("mask", "blocks", "kinds")}
"""What a finished run of each command tells."""
_PROBE = ".expunge-probe"
_BEFORE = {"cache", _PROBE, partial_path(Path(RUN_FILE)).name}
"""What a folder may hold before its run.json: its sets, and what an early kill left."""

FolderState = Literal["new", "unfinished", "finished"]


def is_run(folder: Path) -> bool:
    """Whether `folder` holds a `run.json`."""
    return (folder / RUN_FILE).is_file()


def find_denoiser(folder: Path) -> Path | None:
    """The folder of the erased weights in a run folder, if they are there."""
    found = (folder / name for name in DENOISERS)
    return next((place for place in found if (place / "config.json").is_file()), None)


def read_run(folder: Path, *needed: str) -> RunRecord:
    """What a run folder's `run.json` tells, the `needed` fields among it.

    Unreadable, of another schema, of another command that leaves no model, or with a value of a
    wrong type it is a UsageError, and so is a folder with a link that leads out of it. What lies in
    the user's home has its whole name again.
    """
    values = _read(folder)
    if values.get("command") == "classification":
        raise UsageError(
            f"{folder / RUN_FILE}: of `expunge classification`, whose results are in results.md "
            "there; give the folder of an erasure"
        )
    return _typed(folder, values, needed)


def _typed(folder: Path, values: dict[str, Any], needed: Sequence[str] = ()) -> RunRecord:
    try:
        record = parse_record(RunRecord, _restored(values))
        if lacking := record.missing(needed):
            raise ValueError(f"it has no {lacking}")
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{folder / RUN_FILE}: {error}; get the run folder anew, or make the run again"
        ) from error
    return record


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RUN_FILE
    require_no_way_out(folder)
    try:
        values = read_object(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UsageError(
            f"{path}: not a readable run.json ({reason}); is {folder} a run folder? If it was, its "
            "command with --overwrite begins again"
        ) from error
    version = values.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(f"{path}: schema version {version}, this expunge reads {SCHEMA_VERSION}")
    return values


def write_run(folder: Path, record: RunRecord) -> None:
    """Write `run.json` whole or not at all; `read_run` gives the same record back.

    The user's home folder becomes `~`: a run may be published.
    """
    write_values(folder, to_json(record))


def write_values(folder: Path, values: Mapping[str, Any]) -> None:
    """Write the `run.json` of a command whose folder holds no model, as `write_run` does."""
    write_json(folder / RUN_FILE, _hidden({"schema_version": SCHEMA_VERSION, **values}))


def _hidden(value: Any) -> Any:
    """The same JSON with `~` for the user's home folder."""
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return without_home(value) if isinstance(value, str) else value


def _restored(value: Any) -> Any:
    """The same JSON with the user's home folder for `~` where a text begins with it."""
    if isinstance(value, dict):
        return {key: _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    home = find_home() if isinstance(value, str) and value.startswith(("~/", "~\\")) else None
    return str(home / value[2:]) if home else value


def write_json(path: Path, value: Any) -> None:
    """Write indented UTF-8 JSON through a temporary file: no reader ever sees half of it."""
    replace_file(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def inspect_folder(out: Path, identity: Mapping[str, Any], *, overwrite: bool) -> FolderState:
    """Decide, without touching it, how to use the folder `out` for the run called `identity`.

    `identity` is what makes two runs the same (concept, config, base …), as run.json has it, but
    for where what was given lies. A folder of another run is a UsageError that shows the
    difference, unless `overwrite`; a folder with foreign content always is.
    """
    if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= _BEFORE):
        return "new"
    if not is_run(out):
        raise UsageError(f"--out {out}: not empty and not a run folder; choose another folder")
    if overwrite:
        require_no_way_out(out)
        return "new"
    values = _read(out)
    record = _typed(out, values)
    there, now = _hidden(values), _hidden(json.loads(json.dumps(identity)))
    if _differences(without_places(there), without_places(now)):
        differences = _differences(there, now)
        raise UsageError(
            f"--out {out}: used by another run ({'; '.join(differences[:4])}); "
            "choose another folder or add --overwrite"
        )
    if record.finished:
        _typed(out, values, _FINISHED.get(record.command, ()))
        return "finished"
    return "unfinished"


def prepare_folder(out: Path, *, fresh: bool) -> None:
    """Make the folder and prove that it can be written; what a kill left half-written goes.

    `fresh` clears an earlier run's outputs.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / _PROBE
        probe.touch()
        probe.unlink()
        clear_partials(out)
    except OSError as error:
        raise UsageError(
            f"--out {out}: cannot be written ({error.strerror}); choose another"
        ) from error
    if fresh and is_run(out):
        # It stays until there is another, since only a run folder may be cleared: unfinished, or a
        # kill in between would leave a finished run without its weights.
        before: Mapping[str, Any] = {}
        with suppress(UsageError):
            before = _read(out)
        write_values(out, {**before, "finished": None})
    for path in (out / name for name in _OUTPUTS if fresh):
        remove(path)


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
