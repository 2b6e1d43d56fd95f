"""SDXL as single files, out: the published files' names, and nothing new but the UNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file
from support.erased_runs import unet
from support.single_files import (
    UNET,
    configs_of,
    draw_xl,
    ldm_name,
    require_equal_xl,
    save_run,
    save_single,
    with_ema,
    xl_tensors,
)
from support.tiny_sdxl import save_sdxl
from torch import Tensor

from erase.export.single_file import export_single_file
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from erase.saliency.mask import SaliencyMask

FIRST, SECOND = "conditioner.embedders.0.", "conditioner.embedders.1."
EPSILON = {"modelspec.prediction_type": "epsilon"}


@pytest.fixture
def configs(sdxl_folder: Path, tmp_path: Path) -> Path:
    return configs_of(sdxl_folder, tmp_path / "configs")


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_from_a_single_file_only_the_unet_changes_and_only_where_the_mask_is_1(
    precision: torch.dtype, sdxl_folder: Path, configs: Path, tmp_path: Path
) -> None:
    tensors = {
        n: t.to(precision) if t.is_floating_point() else t
        for n, t in xl_tensors(sdxl_folder).items()
    }
    file = save_single(tmp_path / "base.safetensors", tensors, **EPSILON, note="kept")
    run = save_run(locate(str(file), config=configs), tmp_path / "run")
    result = export_single_file(run, to := tmp_path / "erased.safetensors")
    exported = load_file(to)
    assert {n: (t.dtype, t.shape) for n, t in exported.items()} == {
        n: (t.dtype, t.shape) for n, t in tensors.items()
    }
    mask = SaliencyMask.load(run / "mask.safetensors")
    names = {UNET + ldm_name(name, xl=True): name for name in unet(run)}
    assert {key for key in tensors if key.startswith(UNET)} == names.keys()
    changed = 0
    for key, tensor in exported.items():
        if key not in names:
            assert bits(tensor) == bits(tensors[key]), key
            continue
        differs = tensor != tensors[key]
        assert not (differs & ~mask.bits(names[key])).any(), key
        changed += int(differs.sum())
        assert bits(tensor) == bits(unet(run)[names[key]].to(precision)), key
    assert 0.5 * mask.kept < changed <= mask.kept
    assert result["unet"] == len(names) and result["tensors"] == len(tensors)
    told = header(to)
    assert told["note"] == "kept" and told["expunge.concept"] == "church"
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert told["modelspec.prediction_type"] == "epsilon"
    again = load_checkpoint(str(to), config=configs, device="cpu")
    erased = load_checkpoint(str(run), device="cpu")
    weights = erased.unet.to(precision).float().state_dict()
    assert all(torch.equal(t, weights[n]) for n, t in again.unet.state_dict().items())


def test_a_folder_becomes_a_file_with_the_published_names(
    sdxl_folder: Path, tmp_path: Path
) -> None:
    """All but the scale that folders do not have; diffusers reads it as the run's model again."""
    run = save_run(locate(str(sdxl_folder)), tmp_path / "run")
    export_single_file(run, to := tmp_path / "erased.safetensors")
    expected = xl_tensors(sdxl_folder)
    del expected[f"{SECOND}model.logit_scale"]
    expected |= {UNET + ldm_name(name, xl=True): t for name, t in unet(run).items()}
    exported = load_file(to)
    assert exported.keys() == expected.keys()
    for key, tensor in exported.items():
        assert tensor.dtype == expected[key].dtype and bits(tensor) == bits(expected[key]), key
    ids = exported[f"{FIRST}transformer.text_model.embeddings.position_ids"]
    assert ids.dtype == torch.int64 and ids.tolist() == [list(range(24))]
    assert header(to)["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert header(to)["modelspec.prediction_type"] == "epsilon"
    whole = load_checkpoint(str(run), device="cpu")
    again = load_checkpoint(str(to), config=sdxl_folder, device="cpu")
    require_equal_xl(again, whole)
    assert (draw_xl(again.pipeline("ddim")) == draw_xl(whole.pipeline("ddim"))).all()
    theirs = StableDiffusionXLPipeline.from_single_file(
        str(to), config=str(sdxl_folder), local_files_only=True
    )
    require_equal_xl(theirs, whole)


@pytest.mark.parametrize("zero", [False, True])
def test_a_folder_that_predicts_v_is_known_by_its_file_s_keys(zero: bool, tmp_path: Path) -> None:
    """By which ComfyUI and A1111 know it too."""
    save_sdxl(folder := tmp_path / "v", "v_prediction")
    place = folder / "scheduler" / "scheduler_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"rescale_betas_zero_snr": zero}))
    run = save_run(locate(str(folder)), tmp_path / "run")
    export_single_file(run, to := tmp_path / "erased.safetensors")
    exported = load_file(to)
    marks = {key for key in exported if "." not in key}
    assert marks == ({"v_pred", "ztsnr"} if zero else {"v_pred"})
    assert all(exported[key].shape == (0,) for key in marks)
    assert header(to)["modelspec.prediction_type"] == "v"
    again = load_checkpoint(str(to), config=folder, device="cpu")
    assert again.source.prediction_type == "v_prediction"
    require_equal_xl(again, load_checkpoint(str(run), device="cpu"))


@pytest.mark.parametrize("ema", ["drop", "overwrite"])
def test_no_copy_of_an_original_weight_survives_under_any_key(
    ema: Any, sdxl_folder: Path, configs: Path, tmp_path: Path
) -> None:
    """Copies at the EMA's values, at the original's, and in half precision with other names."""
    torch.manual_seed(0)
    # No two tensors alike: a fresh model's norms are all ones and zeros.
    plain = {
        n: t + 0.01 * torch.randn_like(t) if t.is_floating_point() else t
        for n, t in xl_tensors(sdxl_folder).items()
    }
    own = {n: t for n, t in plain.items() if n.startswith(UNET)}
    more = with_ema(plain) | {f"backup.{n}": t.half() for n, t in own.items()}
    file = save_single(tmp_path / "base.safetensors", more, **EPSILON)
    run = save_run(locate(str(file), config=configs), tmp_path / "run")
    export_single_file(run, to := tmp_path / "erased.safetensors", ema=ema)
    exported = load_file(to)
    assert exported.keys() == (plain if ema == "drop" else more).keys()
    held = {bits(tensor.float()) for tensor in exported.values()}
    changed = [n for n, t in own.items() if bits(t) != bits(exported[n])]
    assert len(changed) > 100
    for rounded in (torch.float32, torch.float16):
        assert not [n for n in changed if bits(own[n].to(rounded).float()) in held]
    assert all(bits(exported[n]) == bits(t) for n, t in plain.items() if n not in own)
