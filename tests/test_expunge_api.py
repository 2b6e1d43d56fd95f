"""The commands as functions: the same settings, the same results, the same refusals."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import bits_equal, unet

import expunge
from expunge.parsing import parse
from plumbing.errors import UsageError

FEW: dict[str, Any] = {
    "forget_images": 3,
    "retain_images": 4,
    "inference_steps": 2,
    "batch_size": 2,
    "steps": 2,
    "lr": 1e-3,
    "no_guard": True,
}


def test_it_does_what_the_commands_do(finished: Path, model_folder: Path, tmp_path: Path) -> None:
    """From erasing to verifying, with no command line; weights as those of the same command."""
    run = expunge.erase_concept("church", model=str(model_folder), out=tmp_path / "run", **FEW)
    assert run["passed"] and bits_equal(unet(tmp_path / "run"), unet(finished))
    found = expunge.evaluate_concept(run["out"], protocol="demo", steps=1, dtype="float32")
    evaluation = json.loads((tmp_path / "run" / "eval" / "concept" / "evaluation.json").read_text())
    assert json.loads(json.dumps(found)) == evaluation
    written = expunge.write_report(run["out"], to=str(tmp_path / "report.html"))
    assert Path(written["report"]).is_file() and written["verdict"]
    table = expunge.compare_runs(run["out"], tmp_path / "run" / "eval", out=str(tmp_path / "c"))
    assert [row["cells"]["ua"] for row in table["rows"]] == [evaluation["erased"]["ua"]] * 2
    delta = tmp_path / "it.safetensors"
    expunge.export_run(run["out"], format="delta", to=str(delta))
    expunge.apply_deltas(delta, model=str(model_folder), to=str(tmp_path / "erased"))
    expunge.undo_deltas(tmp_path / "erased", delta=(delta,), to=tmp_path / "back")
    assert bits_equal(unet(tmp_path / "back"), unet(model_folder))
    assert expunge.verify(run["out"])["passed"]


def test_a_mask(model_folder: Path, tmp_path: Path) -> None:
    few = {name: FEW[name] for name in ("forget_images", "inference_steps", "batch_size")}
    made = expunge.build_mask(
        "church", model=str(model_folder), density=0.25, out=tmp_path / "mask", **few
    )
    assert made["mask"]["kept"] == round(0.25 * made["mask"]["total"])


def test_settings_are_those_of_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flag reaches its group, and texts become paths where the flag takes a path."""
    seen: list[Any] = []
    monkeypatch.setattr("expunge.runs.erase.erase_concepts", seen.append)
    expunge.erase_concept("a", "b", density=0.1, model="m", retain_data="x", out="r", alpha=2)
    words = "a b --density 0.1 --model m --retain-data x --out r --alpha 2"
    assert seen == [parse(("erase",), words.split())]


def test_bad_settings_are_refused_with_a_near_name() -> None:
    with pytest.raises(UsageError, match="densty: no such setting of Erase; did you mean density"):
        expunge.erase_concept("church", densty=0.1)
    with pytest.raises(UsageError, match="--density must be above 0"):
        expunge.erase_concept("church", density=2.0)
    with pytest.raises(UsageError, match="did you mean salun"):
        expunge.erase_concept("church", method="salum")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"teacher": "nope"}, "teacher: 'nope' cannot be meant; it must be one of frozen, current"),
        ({"steps": "4"}, "steps: '4' cannot be meant"),
        ({"steps": 4.0}, "steps: 4.0 cannot be meant"),
        ({"no_guard": 1}, "no_guard: 1 cannot be meant"),
        ({"relabel": 4}, "relabel: 4 cannot be meant"),
        ({"alpha": float("inf")}, "--alpha must be at most"),
        ({"concepts": "dog"}, "concepts: no such setting"),
    ],
)
def test_values_that_no_flag_would_take_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        expunge.erase_concept("church", **flags)


def test_one_value_stands_for_a_tuple_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("expunge.exports.undo.undo", seen.append)
    for delta in ("a", Path("a"), ["a"], (Path("a"),)):
        expunge.undo_deltas("m", delta=delta, to="b")
    assert {each.delta for each in seen} == {(Path("a"),)}
    with pytest.raises(UsageError, match="format: 'nope' cannot be meant; it must be one of unet"):
        expunge.export_run("r", format="nope")
    with pytest.raises(UsageError, match="cannot be meant"):
        expunge.erase_concept(["church", "dog"])  # type: ignore[arg-type]
