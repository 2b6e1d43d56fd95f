"""May a stranger's model folder be opened? Asked of its small files alone, before any weights."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plumbing.config_check import problem_of
from plumbing.errors import UsageError
from plumbing.json_file import read_object

_LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
"""Where the parts of a Stable Diffusion come from; the last is diffusers' own safety checker."""
_CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")


def check_index(model: str, index: Mapping[str, Any]) -> None:
    """Refuse, as a UsageError, a model_index.json that names anything but the libraries' parts.

    It is not acted on here, but it is copied into exports, where other tools import what it names.
    """
    for name, value in index.items():
        if isinstance(value, list) and any(value):
            known = len(value) == 2 and value[0] in _LIBRARIES
            if not known or not str(value[1]).isidentifier() or not name.isidentifier():
                raise UsageError(
                    f"--model {model}: its model_index.json names {_told(value)} for {name}, which "
                    "is no part of a Stable Diffusion and could be code; get the original folder"
                )
        elif name == "_diffusers_version" or isinstance(value, str | bool | int | float | None):
            continue
        elif any(value):
            raise UsageError(f"--model {model}: its model_index.json has {_told(value)} for {name}")


def _told(value: Any) -> str:
    return json.dumps(value)[:80]


def check_part(model: str, folder: Path) -> None:
    """Refuse, as a UsageError, a part whose configs cannot be meant, or lead elsewhere."""
    for problem in _problems(folder):
        raise UsageError(f"--model {model}: {problem}; get the model anew")


def _problems(folder: Path) -> Iterator[str]:
    if (folder / "adapter_config.json").exists():
        # transformers would load the model that it names instead.
        yield f"{folder.name}/adapter_config.json is no file of a Stable Diffusion"
    for name in _CONFIGS:
        if (folder / name).is_file():
            try:
                wrong = problem_of(read_object(folder / name))
            except (OSError, ValueError) as error:
                yield f"{folder.name}/{name} cannot be read ({error})"
                continue
            if wrong:
                yield f"{folder.name}/{name}: {wrong}"


def require_own(folder: Path, file: Path) -> None:
    """Refuse, as a UsageError, a file that is a link out of its model's folder.

    Exports copy such files, and could carry off whatever the link leads to. A hub's cache keeps
    its files beside the folder, in `blobs`.
    """
    real = file.resolve()
    places = [folder.resolve()]
    if folder.parent.name == "snapshots":
        places.append((folder.parent.parent / "blobs").resolve())
    if not any(real.is_relative_to(place) for place in places):
        raise UsageError(
            f"{file}: a link that leads out of the model's folder; put the file itself in its place"
        )
