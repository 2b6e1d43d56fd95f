"""Files by their names as Windows and Macs take them: letters' case and composed accents aside."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from pathlib import Path


class LooseNames:
    """Finds files below folders, each of which is listed once."""

    def __init__(self) -> None:
        """Nothing is listed yet."""
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, folder: Path, name: str) -> Path | None:
        """The path of `name` in a folder as it is on disk, by the very name first; else None.

        The name may lead through folders, by slashes or backslashes.
        """
        found: Path | None = folder
        for part in name.replace("\\", "/").split("/"):
            if found is None:
                break
            if part not in ("", "."):
                same = self.list(found).get(_fold(part), [])
                wanted = found / part
                found = wanted if wanted in same else next(iter(same), None)
        return found

    def list(self, folder: Path) -> dict[str, list[Path]]:
        """What is in a folder by loose name; nothing if it cannot be looked into."""
        if folder not in self._listed:
            names = self._listed[folder] = defaultdict(list)
            try:
                for path in sorted(folder.iterdir()):
                    names[_fold(path.name)].append(path)
            except OSError:
                pass
        return self._listed[folder]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
