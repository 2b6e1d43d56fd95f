"""What may leave the machine: no place on its disk and no key in what is exported or pushed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from prompts.errors import UsageError

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{30,}")
_LARGEST = 8 << 20
"""Bytes of a text; what is larger and no safetensors file holds numbers."""


def public(value: Any) -> Any:
    """The same JSON with a folder's or file's own name instead of where it lies."""
    if isinstance(value, dict):
        return {key: public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def require_public(folder: Path, secrets: Collection[str] = ()) -> None:
    """Refuse, as a UsageError, a folder in which a text tells of the user's home, or a key.

    Texts are all small files, and the headers of safetensors files. `secrets` are looked for
    beside what has the form of a hub's token.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = _text(path)
        place = next((home for home in _homes() if home in text), None)
        if place:
            raise UsageError(
                f"{path}: tells of {place}, which is nobody's business; take it out of the file, "
                "or export anew from a base without it"
            )
        if _TOKEN.search(text) or any(secret in text for secret in secrets if secret):
            raise UsageError(f"{path}: holds an access token; take it out and revoke the token")


def _homes() -> list[str]:
    """The user's home folder as it may be written; none if it is a whole disk."""
    home = Path.home()
    if home == home.parent:
        return []
    found = {str(each) for each in (home, home.resolve(), home.as_posix())}
    return sorted(found | {json.dumps(each)[1:-1] for each in found})


def _text(path: Path) -> str:
    with path.open("rb") as file:
        if path.suffix == ".safetensors":
            length = int.from_bytes(file.read(8), "little")
            return file.read(min(length, _LARGEST)).decode("utf-8", "replace")
        if path.stat().st_size > _LARGEST:
            return ""
        return file.read().decode("utf-8", "replace")
