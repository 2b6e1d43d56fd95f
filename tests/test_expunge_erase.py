"""`erase` and `mask` from the command line: exact output files, used folders, and bad input."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from support.erased_runs import SHORT

from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import read_run, write_run
from erase.saliency.mask import SaliencyMask
from expunge.cli import main

SETS = "--forget-images 3 --retain-images 4 --inference-steps 2 --batch-size 2".split()


def files(folder: Path) -> set[str]:
    """All files below a folder, but for the cache's."""
    paths = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != "cache"}


def erase(model: Path, out: Path, *flags: str) -> int:
    """`expunge erase church` on a model folder."""
    return main(["erase", "church", "--model", str(model), "--out", str(out), *SHORT, *flags])


def test_erase_leaves_exactly_these_files(finished: Path) -> None:
    assert files(finished) == {
        "run.json",
        "mask.safetensors",
        "train_log.jsonl",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    record = read_run(finished)
    assert record.concepts == ("church",)
    assert record.concept.kind == "object"
    assert record.config["steps"] == 2
    assert record.kept == round(0.5 * record.total)
    rows = [json.loads(row) for row in (finished / "train_log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]


def test_plain_diffusers_opens_the_erased_unet(finished: Path, model_folder: Path) -> None:
    erased = UNet2DConditionModel.from_pretrained(finished / "unet").state_dict()
    original = UNet2DConditionModel.from_pretrained(model_folder / "unet").state_dict()
    mask = SaliencyMask.load(finished / "mask.safetensors")
    assert erased.keys() == original.keys()
    assert any(not torch.equal(erased[name], original[name]) for name in erased)
    for name, tensor in erased.items():
        trained = mask.bits(name) if name in mask.shapes else torch.zeros_like(tensor).bool()
        assert torch.equal(tensor[~trained], original[name][~trained])
    weights = finished / "unet" / "diffusion_pytorch_model.safetensors"
    with safe_open(weights, framework="pt") as file:
        assert file.metadata()["expunge.concept"] == "church"
    assert "_name_or_path" not in (finished / "unet" / "config.json").read_text()


def test_a_run_folder_is_a_model(finished: Path, model_folder: Path) -> None:
    erased = load_checkpoint(str(finished), device="cpu")
    original = load_checkpoint(str(model_folder), device="cpu")
    assert erased.source.digest != original.source.digest
    assert erased.source.folder == original.source.folder
    same = UNet2DConditionModel.from_pretrained(finished / "unet").state_dict()
    assert all(torch.equal(t, same[name]) for name, t in erased.unet.state_dict().items())


def test_same_seed_same_bytes_and_a_reused_mask(
    finished: Path, model_folder: Path, tmp_path: Path
) -> None:
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert erase(model_folder, tmp_path / "again") == 0
    assert (tmp_path / "again" / weights).read_bytes() == (finished / weights).read_bytes()
    mask = str(finished / "mask.safetensors")
    assert erase(model_folder, tmp_path / "reused", "--mask", mask) == 0
    again, reused = (
        UNet2DConditionModel.from_pretrained(tmp_path / name / "unet").state_dict()
        for name in ("again", "reused")
    )
    assert all(torch.equal(again[name], reused[name]) for name in again)


def test_a_finished_run_is_left_alone_and_said_so(
    finished: Path, model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = {name: (finished / name).stat().st_mtime_ns for name in files(finished)}
    with caplog.at_level("INFO", logger="erase"):
        assert erase(model_folder, finished) == 0
    assert "finished" in caplog.text
    assert before == {name: (finished / name).stat().st_mtime_ns for name in files(finished)}


def test_an_unfinished_run_is_taken_up(finished: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert erase(model_folder, out) == 0
    weights = out / "unet" / "diffusion_pytorch_model.safetensors"
    record = read_run(out)
    write_run(out, replace(record, finished=None))
    weights.unlink()
    assert erase(model_folder, out) == 0
    assert weights.read_bytes() == (finished / "unet" / weights.name).read_bytes()
    assert read_run(out).finished


def test_a_clip_is_no_judge_of_what_an_imagenet_classifier_would_be_asked(
    model_folder: Path, clip_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Church is one of Imagenette's classes; offline its classifier is not at hand."""
    model = shutil.copytree(model_folder, tmp_path / "model")
    shutil.rmtree(model / "judge")
    shutil.copytree(clip_folder, model / "clip")
    with caplog.at_level(logging.INFO):
        where = ["--model", str(model), "--out", str(tmp_path / "run")]
        assert main(["erase", "church", *where, *SHORT]) == 0
    assert "not checked, for want of a judge: does the model draw church?" in caplog.text


def test_another_config_needs_overwrite(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert erase(model_folder, out) == 0
    assert erase(model_folder, out, "--alpha", "4") == 2
    assert "config.alpha: 3.0 there, 4.0 now" in capsys.readouterr().err
    assert erase(model_folder, out, "--alpha", "4", "--overwrite") == 0
    assert read_run(out).config["alpha"] == 4.0


def test_json_is_one_object_on_stdout(
    finished: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert erase(model_folder, finished, "--json") == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(finished)


def test_several_concepts_and_a_current_teacher_with_one_relabel_prompt(
    model_folder: Path, tmp_path: Path
) -> None:
    flags = [
        "--teacher",
        "current",
        "--retain-target",
        "noise",
        "--relabel",
        "an apple",
        "--lr-schedule",
        "linear",
    ]
    flags += ["--train-method", "xattn", "--out", str(tmp_path / "run"), *SHORT]
    assert main(["erase", "church", "delivery truck", "--model", str(model_folder), *flags]) == 0
    record = read_run(tmp_path / "run")
    assert record.concepts == ("church", "delivery truck")
    mask = SaliencyMask.load(tmp_path / "run" / "mask.safetensors")
    assert all("attn2" in name for name in mask.shapes)


@pytest.mark.parametrize("kind", ["random", "none"])
def test_other_masks_for_ablation(model_folder: Path, tmp_path: Path, kind: str) -> None:
    assert erase(model_folder, tmp_path / "run", "--mask-kind", kind) == 0
    mask = read_run(tmp_path / "run").mask
    assert mask["kept"] == (mask["total"] if kind == "none" else round(mask["total"] / 2))


def test_mask_prints_where_it_lies_and_draws_it(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask"
    flags = ["--model", str(model_folder), "--out", str(out), "--density", "0.3", *SETS]
    assert main(["mask", "church", *flags]) == 0
    assert files(out) == {"run.json", "mask.safetensors", "mask.png"}
    printed = capsys.readouterr().out
    assert "mid_block" in printed
    assert "cross-attention" in printed
    mask = SaliencyMask.load(out / "mask.safetensors")
    assert mask.kept == round(0.3 * mask.total)
    record = read_run(out)
    for parts in (record.blocks, record.kinds):
        assert sum(row.kept for row in parts) == mask.kept
        assert sum(row.total for row in parts) == mask.total
    assert erase(model_folder, tmp_path / "run", "--mask", str(out / "mask.safetensors")) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["erase", ""], "CONCEPT is empty"),
        (["erase", "church", "--model", "nowhere"], "--model nowhere"),
        (["erase", "church", "--density", "0"], "--density"),
        (["erase", "church", "--density", "2"], "--density"),
        (["erase", "church", "--mask", "absent.safetensors"], "absent.safetensors: no such file"),
        (["erase", "church", "--dtype", "float16"], "--dtype float16"),
        (["erase", "church", "--device", "cuda:99"], "--device cuda:99"),
        (["erase", "church", "--forget-data", "absent"], "--forget-data absent: no such folder"),
        (["erase", "absent.toml"], "absent.toml"),
        (["mask", "church", "--model", "a.safetensors"], "a.safetensors: no such file"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    words: list[str],
    message: str,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = [] if "--model" in words else ["--model", str(model_folder)]
    assert main([*words, *model]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert error[0].startswith("expunge: error: ")
    assert message in error[0]
    assert not list(tmp_path.iterdir())


def test_the_mask_of_another_model_is_refused(
    finished: Path, other_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = str(finished / "mask.safetensors")
    assert erase(other_model_folder, tmp_path / "run", "--mask", mask) == 2
    assert "made for another model" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_bad_files_of_the_user_are_told(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latin, table = tmp_path / "latin.txt", tmp_path / "mine.toml"
    latin.write_bytes("une église".encode("latin-1"))
    table.write_text('name = "church"\nforgets = ["a church"]\n')
    out = tmp_path / "run"
    assert erase(model_folder, out, "--retain-prompts", str(latin)) == 2
    assert "latin.txt" in capsys.readouterr().err
    assert main(["erase", str(table), "--model", str(model_folder), "--out", str(out)]) == 2
    assert "forgets" in capsys.readouterr().err
    assert not out.exists()


def test_folders_that_cannot_be_used_are_refused(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    assert erase(model_folder, tmp_path / "mine", "--overwrite") == 2
    assert "not a run folder" in capsys.readouterr().err
    assert erase(model_folder, tmp_path / "mine" / "thesis.txt" / "run") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert files(tmp_path) == {"mine/thesis.txt"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_refused(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    assert erase(model_folder, locked / "run") == 2
    assert "cannot be written" in capsys.readouterr().err
