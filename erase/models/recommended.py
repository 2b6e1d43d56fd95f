"""What a model recommends for itself: how it is drawn with, and at which rate it is trained.

A folder has it in `expunge.json` beside its model_index.json, a single file in its header. It is no
part of what the model is, so no hash of a model depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from erase.models.folder_check import require_own
from erase.models.hub import RECOMMENDED
from erase.models.model_source import ModelSource
from plumbing.errors import UsageError
from plumbing.file_content import weights_kind
from plumbing.json_file import parse, read_object

HEADER = "expunge.recommended"
_KEY = "recommended"
SOLVERS = ("dpm++",)
"""Samplers of a higher order."""
SOLVER_SHARE = 0.4
"""20 steps where Stable Diffusion is drawn in 50 by DDIM, as is usual with DPM-Solver++."""
_LIMITS: dict[str, tuple[type, float]] = {
    "steps": (int, 1000),
    "guidance_scale": (float, 100),
    "lr": (float, 1),
}
"""The type and the largest value of each."""


@dataclass(frozen=True)
class Recommended:
    """Stable Diffusion's usual settings, unless a model says otherwise."""

    steps: int = 50
    """Of sampling."""
    guidance_scale: float = 7.5
    lr: float | None = None
    """Adam's learning rate; None: the one that suits models of full size."""

    def steps_of(self, sampler: str) -> int:
        """Steps with a sampler: a multistep solver needs `SOLVER_SHARE` of the others'."""
        return max(1, round(SOLVER_SHARE * self.steps)) if sampler in SOLVERS else self.steps

    def header(self) -> dict[str, str]:
        """What a single file's header has of it: nothing of the usual settings."""
        return {} if self == Recommended() else {HEADER: json.dumps(self._told(), sort_keys=True)}

    def write(self, folder: Path) -> None:
        """Write it into a model's folder."""
        text = json.dumps({_KEY: self._told()}, indent=2) + "\n"
        (folder / RECOMMENDED).write_text(text, encoding="utf-8")

    def _told(self) -> dict[str, float]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_recommended(source: ModelSource) -> Recommended:
    """What a model recommends, or of a run its base; one that cannot be meant is a UsageError.

    A single file that says nothing of it has what the folder of its configs says.
    """
    file = source.single_file
    if file is not None and weights_kind(file) == "safetensors":
        # It imports torch.
        from erase.tensors.weight_files import Weights

        told = Weights([file]).metadata.get(HEADER)
        if told is not None:
            return _parse(f"{file}: its {HEADER}", lambda: parse(told))
    path = source.folder / RECOMMENDED
    if not path.is_file():
        return Recommended()
    require_own(source.folder, path)
    return _parse(str(path), lambda: _only(read_object(path)))


def _only(content: Mapping[str, Any]) -> Any:
    if content.keys() != {_KEY}:
        raise ValueError(f"has not {_KEY!r} and nothing else")
    return content[_KEY]


def _parse(place: str, read: Callable[[], Any]) -> Recommended:
    try:
        told = read()
        if not isinstance(told, dict):
            raise ValueError("no JSON object")
        return Recommended(**{name: _number(str(name), value) for name, value in told.items()})
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{place} cannot be meant ({reason}); mend it or take it out") from error


def _number(name: str, value: Any) -> Any:
    if name not in _LIMITS:
        raise ValueError(f"{name[:40]!r} is not one of {', '.join(_LIMITS)}")
    kind, largest = _LIMITS[name]
    least = 0 if name == "guidance_scale" else 1 if kind is int else 1e-12
    right = type(value) in (int, kind)
    if not right or not least <= value <= largest:
        shown = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {str(value)[:40]}, not {shown} from {least:g} to {largest:g}")
    return kind(value)
