"""run.json as one type: what is written is read back, old runs open, wrong types are one line."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erase.run_folder.folder import inspect_folder, read_run, write_run, write_values
from erase.run_folder.record import (
    Base,
    Concepts,
    Drawn,
    Guard,
    MaskPart,
    RunRecord,
    Stopped,
    Training,
)
from expunge.cli import main
from expunge.reports.write_report import describe
from expunge.runs.record import watched
from plumbing.errors import UsageError
from plumbing.passes import Passes

SHA = "0123456789abcdef" * 4
FULL = RunRecord(
    command="erase",
    concepts=("church", "/data/my.toml"),
    concept=Concepts("church", "object", "shipped:church"),
    config={"seed": 0, "lr": 1e-05, "mask": None, "no_guard": True, "layers": ["a", 2]},
    inputs={"prompts": SHA},
    base=Base("a/model", "main", "fp16", "/configs", "epsilon", SHA, {"unet/config.json": SHA}),
    method="salun",
    asked={"seed": "0"},
    drawn=Drawn(93.75, 16, (71.7, 98.9)),
    training=Training(2, "bfloat16", True, True, {"weights": 0.5}, 3),
    guard=Guard(1.0, ((10, 0.25), (20, None))),
    stopped=Stopped("drift", 20, 10, 100, "it drifted"),
    mask={"kept": 1, "total": 2, "density": "0.5"},
    sets={"forget": 4},
    blocks=(MaskPart("mid_block", 1, 2, 50.0),),
    kinds=(MaskPart("cross-attention", 1, 2, 50.0),),
    weights={"unet/config.json": SHA},
    versions={"torch": "2"},
    seconds={"train": 1.5},
    passes={"train": Passes(denoiser=9, text_encoder=1)},
    peak_memory_mb=638.5,
    finished="2026-01-02T03:04:05+00:00",
)
OLD: dict[str, Any] = {
    "command": "erase",
    "concepts": ["church"],
    "concept": {"name": "church", "kind": "object", "source": "shipped:church"},
    "config": {"preset": None, "density": 0.5, "seed": 0, "steps": 2, "compile": False},
    "inputs": {"prompts": SHA},
    "base": {"id": "miniature", "revision": None, "variant": None, "digest": SHA, "files": {}},
    "method": "salun",
    "asked": {"steps": "2", "compile": "False"},
    "drawn": None,
    "training": {
        "weights": "bfloat16",
        "micro_batch": 2,
        "checkpointing": False,
        "teach_ahead": True,
        "gigabytes": {"weights": 0.021731},
        "processes": 1,
    },
    "guard": {"limit": 1.0, "drift": [[10, 0.5], [20, math.nan]]},
    "stopped": {"reason": "drift", "step": 20, "kept_step": 10, "steps": 30, "told": "it drifted"},
    "mask": {"kept": 344640, "total": 689280, "base": SHA, "density": "0.5", "seed": "0"},
    "sets": {"forget": 4, "retain": 4},
    "weights": {"unet/config.json": SHA},
    "versions": {"expunge": "0.1.0", "torch": "2.13.0+cpu"},
    "seconds": {"load": 3.501, "train": 1.164},
    "peak_memory_mb": 638.5,
    "finished": "2026-11-27T05:42:33+00:00",
}
"""As `expunge erase` wrote it before run.json had a type, its lists cut."""


def test_every_field_survives_the_disk(tmp_path: Path) -> None:
    told = {field.name for field in fields(RunRecord)} - {"schema_version"}
    assert not [name for name in told if FULL.missing([name])]
    write_run(tmp_path, FULL)
    assert read_run(tmp_path) == FULL
    values = json.loads((tmp_path / "run.json").read_text())
    assert list(values) == [field.name for field in fields(RunRecord)]


_texts = st.text(max_size=20)
_counts = st.integers(0, 1 << 53)
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_scalars = st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | _numbers | _texts


@given(
    st.builds(
        RunRecord,
        command=_texts.filter(lambda text: text != "classification"),
        concepts=st.lists(_texts.filter(bool), max_size=3).map(tuple),
        config=st.dictionaries(_texts, _scalars | st.lists(_scalars, max_size=3), max_size=5),
        base=st.builds(Base, _texts, files=st.dictionaries(_texts, _texts)),
        drawn=st.none() | st.builds(Drawn, _numbers, _counts, st.tuples(_numbers, _numbers)),
        training=st.none() | st.builds(Training, _counts, _texts, st.booleans()),
        guard=st.none() | st.builds(Guard, _numbers, st.just(((1, None), (2, 0.5)))),
        sets=st.dictionaries(_texts, _counts, max_size=3),
        seconds=st.dictionaries(_texts, st.floats(0, 1e12), max_size=3),
        finished=st.none() | _texts,
    )
)
def test_whatever_is_written_is_read_back(record: RunRecord) -> None:
    """But for a text that begins as a place in the user's home does in a shell."""
    with TemporaryDirectory() as name:
        write_run(Path(name), record)
        if '"~' not in (Path(name) / "run.json").read_text(encoding="utf-8"):
            assert read_run(Path(name)) == record


def test_an_old_run_opens(tmp_path: Path) -> None:
    """Also one with a drift that is not finite, for which JSON has no word."""
    write_values(tmp_path, OLD)
    record = read_run(tmp_path, "base", "concepts", "mask", "seconds", "weights")
    assert (record.name, record.kept, record.passed) == ("church", 344640, False)
    assert record.config["density"] == 0.5 and record.training and record.training.processes == 1
    ended = describe(tmp_path, record).ended
    assert ended.guard and ended.guard.drift == ((10, 0.5),)
    assert ended.stopped and ended.stopped.kept_step == 10
    identity = {key: OLD[key] for key in ("command", "concepts", "config", "inputs", "base")}
    assert inspect_folder(tmp_path, identity, overwrite=False) == "finished"
    write_run(tmp_path, replace(record, guard=watched([(10, 0.5), (20, math.nan)])))
    assert "NaN" not in (tmp_path / "run.json").read_text()
    # Written by today's type, it is the same run still.
    assert inspect_folder(tmp_path, identity, overwrite=False) == "finished"


def test_what_a_later_version_adds_is_passed_over(tmp_path: Path) -> None:
    write_values(tmp_path, {**OLD, "colour": {"deep": [1]}, "base": {**OLD["base"], "hue": 1}})
    assert read_run(tmp_path).base == Base("miniature", digest=SHA)


@pytest.mark.parametrize("name", [f.name for f in fields(RunRecord) if f.name != "schema_version"])
def test_a_wrong_type_is_one_line_that_names_its_field(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_values(tmp_path, {**OLD, name: [[]]})
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"run.json: {name}" in error and "again" in error
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mask": {"kept": "1"}}, "mask.kept"),
        ({"mask": {"density": 1}}, "mask.density"),
        ({"weights": {"../x": SHA}}, "outside the folder"),
        ({"seconds": {"train": math.inf}}, "seconds"),
        ({"config": {"lr": math.nan}}, "config"),
        ({"stopped": {"reason": "bored", "step": 1, "kept_step": 1, "steps": 1}}, "stopped.reason"),
        ({"blocks": [{"part": "a", "kept": 1}]}, r"blocks\[0\]"),
        ({"weights": {}}, "has no weights"),
        ({"base": {"id": "", "digest": SHA}}, "has no base"),
        ({"command": "classification"}, "results.md"),
    ],
)
def test_a_wrong_value_is_refused(values: dict[str, Any], told: str, tmp_path: Path) -> None:
    write_values(tmp_path, {**OLD, **values})
    with pytest.raises(UsageError, match=told):
        read_run(tmp_path, "weights", "base")
