"""What may leave the machine: no place on its disk and no key in what is exported or pushed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from plumbing.errors import UsageError
from plumbing.json_file import parse
from plumbing.visible_text import homes

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
_PLACES = ("_name_or_path", "name_or_path", "tokenizer_file", "vocab_file", "merges_file")
"""Under these keys diffusers and transformers tell where a model lay."""
_LARGEST = 8 << 20
"""Bytes of a text; what is larger and no safetensors file holds numbers."""


def public(value: Any) -> Any:
    """The same JSON with a folder's or file's own name instead of where it lies."""
    if isinstance(value, dict):
        return {key: public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public(item) for item in value]
    return _name(value) if isinstance(value, str) and is_place(value) else value


def published(path: Path) -> bytes | None:
    """A config file's bytes without where its model once lay; None if it does not tell."""
    if path.suffix != ".json" or path.stat().st_size > _LARGEST:
        return None
    content = path.read_bytes()
    if not any(f'"{key}"'.encode() in content for key in _PLACES):
        return None
    try:
        config = parse(content.decode("utf-8"))
    except ValueError:
        return None
    cleaned = _cleaned(config)
    if cleaned == config:
        return None
    return (json.dumps(cleaned, indent=2, ensure_ascii=False) + "\n").encode()


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: public(v) if k in _PLACES else _cleaned(v) for k, v in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


def is_place(text: str) -> bool:
    """Whether a text is where something lies on a machine, whoever's."""
    if text.startswith(("~/", "~\\")):
        return True
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def _name(place: str) -> str:
    # A Windows path knows both kinds of strokes.
    return PureWindowsPath(place).name


def require_public(folder: Path, secrets: Collection[str] = ()) -> None:
    """Refuse, as a UsageError, a folder in which a text tells of the user's home, or a key.

    Texts are all small files, and the headers of safetensors files. `secrets` are looked for
    beside what has the form of a hub's token.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = _text(path)
        place = next((home for home in homes() if home in text), None)
        if place:
            raise UsageError(
                f"{path}: tells of {place}, which is nobody's business; take it out of the file, "
                "or export anew from a base without it"
            )
        if _TOKEN.search(text) or any(secret in text for secret in secrets if secret):
            raise UsageError(f"{path}: holds an access token; take it out and revoke the token")


def _text(path: Path) -> str:
    with path.open("rb") as file:
        if path.suffix == ".safetensors":
            length = int.from_bytes(file.read(8), "little")
            return file.read(min(length, _LARGEST)).decode("utf-8", "replace")
        if path.stat().st_size > _LARGEST:
            return ""
        return file.read().decode("utf-8", "replace")
