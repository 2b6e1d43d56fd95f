"""What a model recommends for itself goes with it: into exports, deltas' results and runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import apply, erase, make_delta, undo
from support.files import tree
from support.single_files import configs_of, ldm_tensors, save_single

from erase.models.locate import locate
from erase.models.model_source import MINIATURE
from erase.models.recommended import Recommended, read_recommended
from expunge.cli import main
from plumbing.errors import UsageError

FEW = "--forget-images 1 --retain-images 1 --batch-size 1 --steps 1 --no-guard --device cpu".split()
OWN = Recommended(steps=3, guidance_scale=2.0, lr=0.25)


def config_of(model: Path | str, out: Path, *flags: str) -> dict[str, Any]:
    """The settings that an erasure of a model takes by itself."""
    assert main(["erase", "church", "--model", str(model), "--out", str(out), *FEW, *flags]) == 0
    return json.loads((out / "run.json").read_text())["config"]


def export(run: Path, kind: str, to: Path) -> Path:
    assert main(["export", str(run), "--format", kind, "--to", str(to)]) == 0
    return to


@pytest.fixture
def told(model_folder: Path, tmp_path: Path) -> Path:
    """The tiny model, with settings of its own."""
    folder = shutil.copytree(model_folder, tmp_path / "told")
    OWN.write(folder)
    return folder


def test_an_exported_miniature_is_drawn_and_trained_as_the_miniature_is(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = config_of("miniature", run, "--inference-steps", "2")
    assert (first["lr"], first["guidance_scale"]) == (5e-4, 5.0)
    folder = export(run, "pipeline", tmp_path / "pipeline")
    # Without judges nothing is drawn to be judged, which takes a while.
    shutil.rmtree(folder / "judge")
    shutil.rmtree(folder / "clip")
    file = export(run, "single-file", tmp_path / "one.safetensors")
    configs = configs_of(MINIATURE, tmp_path / "configs")
    shutil.rmtree(configs / "clip")
    for model, flags in ((folder, []), (file, ["--config", str(configs)])):
        config = config_of(model, tmp_path / f"of-{model.name}", *flags)
        found = (config["inference_steps"], config["guidance_scale"], config["lr"])
        assert found == (10, 5.0, 5e-4), model


def test_what_is_not_recommended_is_usual(model_folder: Path) -> None:
    assert read_recommended(locate(str(model_folder))) == Recommended(50, 7.5, None)


def test_an_evaluation_draws_as_recommended(told: Path, clip_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "quality", str(told), "--concept", "church", "--out", str(out)]
    assert main([*words, "--images", "3", "--clip", str(clip_folder), "--device", "cpu"]) == 0
    protocol = json.loads((out / "evaluation.json").read_text())["protocol"]
    assert (protocol["steps"], protocol["guidance_scale"]) == (1, 2.0)
    # Of DPM-Solver++, two fifths.
    assert OWN.steps == 3 and OWN.steps_of("ddim") == 3 and Recommended().steps_of("dpm++") == 20


def test_a_run_has_what_its_base_has_and_so_has_what_deltas_make(
    told: Path, tmp_path: Path
) -> None:
    run = erase(told, tmp_path / "run")
    assert read_recommended(locate(str(run))) == OWN
    delta = make_delta(run, tmp_path / "delta.safetensors")
    assert apply(told, tmp_path / "applied", delta) == 0
    assert undo(tmp_path / "applied", tmp_path / "undone", delta) == 0
    for name in ("applied", "undone"):
        assert read_recommended(locate(str(tmp_path / name))) == OWN


def test_a_file_made_of_a_file_keeps_it(told: Path, tmp_path: Path) -> None:
    """And the file's own word goes before its configs'."""
    configs = configs_of(told, tmp_path / "configs")
    base = save_single(tmp_path / "base.safetensors", ldm_tensors(told), **OWN.header())
    run = erase(base, tmp_path / "run", "--config", str(configs))
    file = export(run, "single-file", tmp_path / "one.safetensors")
    Recommended(steps=9).write(configs)
    assert read_recommended(locate(str(file), config=configs)) == OWN


def test_no_hash_of_a_model_depends_on_it(model_folder: Path, told: Path) -> None:
    assert locate(str(told)).digest == locate(str(model_folder)).digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "no JSON object"),
        ('{"recommended": {}, "more": 1}', "nothing else"),
        ('{"recommended": 1}', "no JSON object"),
        ('{"recommended": {"sampler": "ddim"}}', "'sampler' is not one of steps"),
        ('{"recommended": {"steps": 25.0}}', "steps is 25.0, not a whole number from 1 to 1000"),
        ('{"recommended": {"steps": true}}', "steps is True"),
        ('{"recommended": {"steps": 0}}', "steps is 0"),
        ('{"recommended": {"guidance_scale": NaN}}', "guidance_scale is nan"),
        ('{"recommended": {"lr": 0}}', "lr is 0, not a number from"),
        ('{"recommended": {"lr": "1"}}', "lr is 1, not a number"),
    ],
)
def test_a_wrong_one_is_refused_in_a_line(
    told: Path, tmp_path: Path, content: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (told / "expunge.json").write_text(content)
    out = tmp_path / "out"
    assert main(["erase", "church", "--model", str(told), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expunge.json cannot be meant" in error and reason in error
    assert not out.exists()


def test_a_link_out_of_the_model_is_not_followed(told: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("{}")
    (told / "expunge.json").unlink()
    os.symlink(tmp_path / "elsewhere.json", told / "expunge.json")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="leads out of the model's folder"):
        read_recommended(locate(str(told)))
    assert tree(tmp_path) == before
