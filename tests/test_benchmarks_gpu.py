"""The benchmark for GPUs runs through on a CPU with tiny models, keeps its rows, and says aims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import Options, main
from benchmarks.gpu_rows import CARD, Part, Size, rows_of
from benchmarks.gpu_table import to_markdown

Found = dict[str, dict[str, Any]]


def run(out: Path, size: Size, **told: Any) -> Found:
    """Run it here, and read what it has kept."""
    main(Options(size=(size,), device="cpu", rounds=2, out=out, **told))
    (file,) = out.glob("gpu-*.json")
    return json.loads(file.read_text())


def row(part: Part, way: str, images_a_second: float, **more: Any) -> dict[str, Any]:
    """A row of SD 1.5 as it is kept."""
    told = {"size": "sd15", "part": part, "way": way, "form": "", "dtype": "bfloat16"}
    told |= {"images": 8, "at_once": 8, "device": "a card", "torch": "2", "how": ""}
    told |= {"seconds": 8 / images_a_second, "images_a_second": images_a_second, "peak_gb": 9.5}
    return told | more


@pytest.mark.parametrize("size", ["tiny", "tiny-xl"])
def test_it_runs_through_on_a_cpu(
    size: Size, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All but what is compiled; each aim is told of."""
    found = run(tmp_path, size)
    assert found.keys() == {row.key for row in rows_of(size) if row.form != "compiled"}
    for record in found.values():
        assert "error" not in record
        assert record["seconds"] == min(record["all"]) > 0
        assert record["device"] and record["torch"] and record["peak_gb"] > 0.1
    shown = capsys.readouterr().out
    aims = ["a training step / the bare passes", "sets drawn, of the bare UNet's speed"]
    for aim in aims + (["the official step / ours"] if size == "tiny" else []):
        (line,) = (line for line in shown.splitlines() if aim in line)
        assert float(line.split("|")[-2]) > 0
    assert (tmp_path / next(tmp_path.glob("gpu-*.md")).name).read_text() in shown


def test_a_row_that_is_there_is_not_measured_again(tmp_path: Path) -> None:
    """One is made to look slow, one to have failed, one is gone: the last two are measured."""
    before = run(tmp_path, "tiny", parts=("attack",))
    slow, failed, gone, *_ = before
    left = {name: record for name, record in before.items() if name != gone}
    left |= {slow: before[slow] | {"seconds": 99}, failed: {"error": "x"}}
    (file,) = tmp_path.glob("gpu-*.json")
    file.write_text(json.dumps(left))
    after = run(tmp_path, "tiny", parts=("attack",))
    assert after.keys() == before.keys()
    assert after[slow]["seconds"] == 99
    assert after[failed]["seconds"] > 0 and after[gone]["seconds"] > 0
    rest = before.keys() - {slow, failed, gone}
    assert {name: after[name] for name in rest} == {name: before[name] for name in rest}


def test_ratios_are_of_speeds_in_the_same_type() -> None:
    """A step 1.25 times the bare passes' of 10 images a second; the official one 4 times ours."""
    records = [
        row("training", "bare", 10),
        row("training", "bare", 5, dtype="float32"),
        row("training", "ours", 8),
        row("training", "ours", 6, form=CARD),
        row("training", "official", 2, dtype="float32"),
        row("drawing", "bare", 20),
        row("drawing", "sets", 19),
    ]
    failed = {"size": "sd15", "part": "mask", "way": "ours", "form": "", "dtype": "float32"}
    lines = to_markdown({str(i): r for i, r in enumerate([*records, failed | {"error": "a|b"}])})
    assert "| a training step / the bare passes, SD 1.5 | at most 1.10 | 1.25 |" in lines
    assert "| the official step / ours, SD 1.5 | at least 4 | 4.00 |" in lines
    assert "planned for 12 GB, GB | at most 10 | 9.50 |" in lines
    assert "| sets drawn, of the bare UNet's speed, SD 1.5 | at least 0.90 | 0.95 |" in lines
    assert "| ours, bfloat16 | 8 | 1 | 8 | 9.50 | 0.80 | 4.00 |" in lines
    assert "| ours, float32: a b |" in lines
