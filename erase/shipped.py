"""What a model may ship beside its parts, to be measured with: its own judges and a CLIP."""

from __future__ import annotations

import json
from pathlib import Path

from erase.source import ModelSource
from prompts.concept import Vocabulary


def judge_folder(source: ModelSource, kind: str) -> Path | None:
    """The folder of the model's own judge of `kind` (`object` or `style`), if it ships one."""
    folder = source.folder / "judge" / kind
    return folder if (folder / "config.json").is_file() else None


def clip_folder(source: ModelSource) -> Path | None:
    """The folder of the CLIP model that was made for the model's pictures, if it ships one."""
    folder = source.folder / "clip"
    return folder if (folder / "config.json").is_file() else None


def vocabulary(source: ModelSource) -> Vocabulary | None:
    """What the model's own judges can name, in label order; None for a model without a judge."""
    objects, styles = (_labels(judge_folder(source, kind)) for kind in ("object", "style"))
    return Vocabulary(objects=objects, styles=styles) if objects or styles else None


def _labels(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    labels = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    return tuple(labels[key] for key in sorted(labels, key=int))
