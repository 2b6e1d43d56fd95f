"""`expunge demo` as a newcomer runs it: cheap, and honest about what it costs and shows."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from expunge.cli import main
from expunge.commands.demo import SHARES

MOST = 9000
"""Passes that the whole of it may take."""


def test_it_takes_the_passes_that_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = ["demo", "--out", str(tmp_path / "demo"), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    bill = told["bill"]
    assert bill["passes"] == sum(bill["stages"].values()) == sum(SHARES.values()) <= MOST
    stages = {**bill["stages"], "a first picture": SHARES["a first picture"]}
    stages["measuring"] -= SHARES["a first picture"]
    assert stages == SHARES
    # The images of quality are those of the concept's evaluation, told once.
    assert told["quality"]["cost"]["erased"]["images"] == 62
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if line.startswith("demo, 4 of 4: attacking; about ")]
    with Image.open(tmp_path / "demo-before.png") as picture:
        assert picture.size[0] > 500
    assert told["evaluation"]["erased"]["ua"]["value"] >= 90
    ceiling = told["attack"]["original"]["learned-word"]["success"]["value"]
    assert ceiling >= 80, "an attack that fails on the original says nothing"
    again = [*words[:-1]]
    assert main(again) == 0
    assert "passes through the UNet" in capsys.readouterr().out
