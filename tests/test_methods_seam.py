"""A trained method and a closed form are added by their own file and one entry, and no others."""

import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from support import example_ascent, example_damping
from support.downstream import everything_downstream
from support.erased_runs import SHORT, unet

from erase.methods.method import ClosedForm
from erase.models.bundle import Bundle
from expunge.cli import main
from expunge.settings.methods import METHODS

VALUES = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.weight"
CLOSED_FORMS = [
    name
    for name, entry in METHODS.items()
    if isinstance(import_module(entry.module).METHOD, ClosedForm)
]
"""All that are shipped."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that names each."""
    monkeypatch.setitem(METHODS, "ascent", example_ascent.ENTRY)
    monkeypatch.setitem(METHODS, "damping", example_damping.ENTRY)


def test_a_trained_method(model_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["erase", "church", "--method", "ascent", "--model", str(model_folder)]
    words += ["--out", str(run), *SHORT, "--push", "3"]
    assert main(words) == 0
    record = json.loads((run / "run.json").read_text())
    assert (record["method"], record["config"]["push"]) == ("ascent", 3.0)
    assert record["asked"]["push"] == "3.0" and record["config"]["density"] == 0.5
    rows = [json.loads(line) for line in (run / "train_log.jsonl").read_text().splitlines()]
    assert [list(row["losses"]) for row in rows] == [["rise"], ["rise"]]
    # What is left of the noise at these rates is about 1.
    assert -10 < rows[0]["losses"]["rise"] < -1
    text = everything_downstream(run, tmp_path)
    assert "--method ascent" in text
    before = (run / "run.json").read_text()
    assert main(words) == 0 and (run / "run.json").read_text() == before
    assert main([*words[:-1], "4"]) == 2


def test_a_closed_form(model_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["erase", "church", "--method", "damping", "--model", str(model_folder)]
    assert main([*words, "--out", str(run), "--damping", "0.5"]) == 0
    original, erased = unet(model_folder), unet(run)
    for name, tensor in original.items():
        damped = ".attn2.to_v." in name
        assert torch.equal(erased[name], tensor * 0.5 if damped else tensor), name
    record = json.loads((run / "run.json").read_text())
    count = sum(t.numel() for name, t in original.items() if ".attn2.to_v." in name)
    assert (record["method"], record["mask"]["kept"]) == ("damping", count)
    assert not (run / "cache").exists() and not (run / "train_log.jsonl").exists()
    assert "--method damping" in everything_downstream(run, tmp_path)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_every_closed_form_goes_all_the_way(
    model_folder: Path,
    tmp_path: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without sets or steps; its bill is told before, and it is measured like any other."""
    run = tmp_path / "run"
    words = ["erase", "church", "--method", name, "--model", str(model_folder), "--anchor", ""]
    assert main([*words, "--out", str(run), "--dry-run", "--json"]) == 0 and not run.exists()
    told = json.loads(capsys.readouterr().out)
    assert told["seconds"].keys() == {"load", "edit", "probe"} and "sets" not in told["passes"]
    assert main([*words, "--out", str(run)]) == 0
    record = json.loads((run / "run.json").read_text())
    assert (record["method"], record["config"]["anchor"]) == (name, "")
    assert not (run / "cache").exists() and not (run / "train_log.jsonl").exists()
    original, erased = unet(model_folder), unet(run)
    changed = [key for key in original if not torch.equal(original[key], erased[key])]
    assert changed and all(".attn2.to_" in key for key in changed)
    seen = ["evaluate", "concept", str(run), "--protocol", "demo", "--steps", "1"]
    assert main([*seen, "--device", "cpu"]) == 0
    assert f"--method {name}" in everything_downstream(run, tmp_path)
    for form in ("unet", "pipeline", "lora"):
        place = tmp_path / f"{form}.safetensors" if form == "lora" else tmp_path / form
        assert main(["export", str(run), "--format", form, "--to", str(place)]) == 0
        assert form == "lora" or main(["verify", str(place), "--run", str(run)]) == 0


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_every_closed_form_takes_and_gives_single_files(
    single: Path, tmp_path: Path, name: str
) -> None:
    run, to = tmp_path / "run", tmp_path / "erased.safetensors"
    base = ["--model", str(single / "base.safetensors"), "--config", str(single / "configs")]
    where = [*base, "--device", "cpu", "--out", str(run)]
    assert main(["erase", "church", "--method", name, "--anchor", "apple", *where]) == 0
    assert main(["export", str(run), "--format", "single-file", "--to", str(to)]) == 0
    assert main(["verify", str(to), "--run", str(run)]) == 0


def test_its_flags_and_presets_are_its_own(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", "--method", "ascent", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert "--push" in help_text and "--relabel" not in help_text
    assert main(["erase", "church", "--method=damping", "--steps", "3"]) == 2
    assert "--steps: no such flag" in capsys.readouterr().err
    assert main(["erase", "church", "--method", "dampin"]) == 2
    assert "did you mean damping?" in capsys.readouterr().err
    words = ["erase", "church", "--method", "ascent", "--model", str(model_folder)]
    words += ["--preset", "ascent-hard", "--out", str(tmp_path / "run"), *SHORT]
    assert main(words) == 0
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert (config["push"], config["lr"]) == (2.0, 1e-3)
    assert main([*words[:-1], "--overwrite", "--preset", "salun-nudity"]) == 2
    assert "--preset salun-nudity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "shape", "value", "message"),
    [
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight", None, math.nan, "finite"),
        ("conv_in.weight", None, 0.0, "is no parameter of its scope xattn"),
        ("mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight", (1,), 0.0, "shape (1,)"),
    ],
)
def test_a_closed_form_that_went_wrong_leaves_nothing(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    shape: tuple[int, ...] | None,
    value: float,
    message: str,
) -> None:
    def edit(sd: Bundle, parameters: Any, concept: Any) -> dict[str, torch.Tensor]:
        return {name: torch.full(shape or sd.denoiser.get_parameter(name).shape, value)}

    monkeypatch.setattr(example_damping, "METHOD", ClosedForm("broken", edit))
    words = ["erase", "church", "--method", "damping", "--model", str(model_folder)]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
