"""Strangers' runs: records of other things and links that lead out are refused by every command."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.strangers import refused

RECORDS: list[tuple[dict[str, Any], str]] = [
    ({"base": 3}, "base: Expected object, got int"),
    ({"base": {}}, "base: Object missing required field id"),
    ({"base": {"id": "x", "files": [1]}}, "base.files: Expected object, got array"),
    ({"weights": {"../../x": "0"}}, "outside the folder"),
    ({"weights": {"/etc/passwd": "0"}}, "outside the folder"),
    ({"concepts": "church"}, "concepts: Expected array, got str"),
    ({"mask": {"kept": -1}}, "mask[...]: Expected int >= 0"),
    ({"seconds": {"train": "x"}}, "seconds[...]: Expected float, got str"),
    ({"config": {"steps": 10**400}}, "config[...]: "),
    ({"base": None}, "base: Expected object, got null"),
]


def test_a_run_json_of_other_things_is_refused_by_every_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = json.loads((run / "run.json").read_text())
    for values, told in RECORDS:
        (run / "run.json").write_text(json.dumps(sound | values))
        for words in (
            ["verify", str(run)],
            ["export", str(run), "--to", str(tmp_path / "made")],
            ["evaluate", "concept", str(run)],
            ["erase", "church", "--model", str(run), "--out", str(tmp_path / "made")],
        ):
            refused(words, told, capsys)
    assert not (tmp_path / "made").exists() and not (run / "eval").exists()


@pytest.mark.parametrize("name", ["eval", "export", "run.json.partial", "cache/x"])
def test_links_out_of_a_run_are_not_followed(
    name: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (run / name).parent.mkdir(exist_ok=True)
    # A refused export of another test may have left an empty folder in the shared run.
    shutil.rmtree(run / name, ignore_errors=True)
    os.symlink(outside, run / name)
    single = (["evaluate", "concept", str(run)], ["export", str(run)], ["report", str(run)])
    # Of a folder of evaluations as of a run.
    (tmp_path / "e").mkdir()
    os.symlink(outside, tmp_path / "e" / "concept")
    for words in (*single, ["compare", str(run), "."], ["compare", str(tmp_path / "e"), "."]):
        refused(words, "a link that leads out", capsys)
    model = json.loads((run / "run.json").read_text())["base"]["id"]
    words = ["erase", "dog", "--model", model, "--out", str(run), "--overwrite"]
    refused(words, "a link that leads out", capsys)
    assert list(outside.iterdir()) == []
