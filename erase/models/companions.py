"""What a model may ship beside its parts, to be measured with: its own judges and a CLIP."""

from __future__ import annotations

from pathlib import Path

from erase.models.model_source import ModelSource
from plumbing.errors import UsageError
from plumbing.json_file import read_object
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
    try:
        labels = read_object(folder / "config.json")["id2label"]
        found = tuple(labels[key] for key in sorted(labels, key=int))
        if not all(isinstance(label, str) and label.strip() for label in found):
            raise ValueError("a label is no text")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{folder}/config.json: no labels of a judge ({error!r})") from error
    return found
