"""The hub's cache as huggingface_hub lays it out, filled by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def fill_cache(cache: Path, repository: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a new cache that has a folder as its repository's only snapshot; the snapshot."""
    place = cache / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / "abc"
    shutil.copytree(folder, snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return snapshot
