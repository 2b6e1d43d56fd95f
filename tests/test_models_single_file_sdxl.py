"""SDXL as single files, in: bit for bit the model of its folder, or one line that says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from support.hub_cache import fill_cache
from support.single_files import (
    UNET,
    configs_of,
    draw_xl,
    require_equal_xl,
    save_single,
    xl_tensors,
)
from torch import Tensor

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from plumbing.errors import UsageError

Tensors = dict[str, Tensor]
FIRST, SECOND = "conditioner.embedders.0.", "conditioner.embedders.1."
EPSILON = {"modelspec.prediction_type": "epsilon"}


@pytest.fixture
def configs(sdxl_folder: Path, tmp_path: Path) -> Path:
    return configs_of(sdxl_folder, tmp_path / "configs")


@pytest.fixture
def file(sdxl_folder: Path, tmp_path: Path) -> Path:
    return save_single(tmp_path / "tiny.safetensors", xl_tensors(sdxl_folder), **EPSILON)


def test_a_file_is_the_model_of_its_folder(file: Path, configs: Path, sdxl_folder: Path) -> None:
    ours = load_checkpoint(str(file), config=configs, device="cpu")
    whole = load_checkpoint(str(sdxl_folder), device="cpu")
    assert isinstance(ours, Bundle) and ours.architecture.name == "sdxl"
    require_equal_xl(ours, whole)
    assert ours.tokenizer_2 is not None and whole.tokenizer_2 is not None
    assert ours.tokenizer_2("a church").input_ids == whole.tokenizer_2("a church").input_ids
    assert ours.force_zeros_for_empty_prompt
    assert (draw_xl(ours.pipeline("ddim")) == draw_xl(whole.pipeline("ddim"))).all()
    assert ours.text_encoder_2 is not None and not ours.text_encoder_2.training
    assert not any(tensor.is_meta for tensor in ours.text_encoder_2.buffers())


def test_diffusers_reads_the_same_model_in_it(file: Path, sdxl_folder: Path) -> None:
    theirs = StableDiffusionXLPipeline.from_single_file(
        str(file), config=str(sdxl_folder), local_files_only=True
    )
    require_equal_xl(load_checkpoint(str(file), config=sdxl_folder, device="cpu"), theirs)


def test_the_index_of_the_configs_tells_what_stands_for_no_prompt(
    file: Path, configs: Path, sdxl_folder: Path
) -> None:
    without = locate(str(file), config=configs)
    assert without.architecture.name == "sdxl" and "model_index.json" not in without.files
    shutil.copyfile(sdxl_folder / "model_index.json", configs / "model_index.json")
    index = json.loads((configs / "model_index.json").read_text())
    told = locate(str(file), config=configs)
    assert "model_index.json" in told.files and told.digest != without.digest
    index["force_zeros_for_empty_prompt"] = False
    (configs / "model_index.json").write_text(json.dumps(index))
    assert locate(str(file), config=configs).digest != told.digest
    assert not load_checkpoint(str(file), config=configs, device="cpu").force_zeros_for_empty_prompt


def _linear(tensors: Tensors) -> Tensors:
    """As diffusers' own script writes it: not transposed, and under another name."""
    projection = tensors.pop(f"{SECOND}model.text_projection")
    return tensors | {f"{SECOND}model.text_projection.weight": projection.T.contiguous()}


def _extras(tensors: Tensors) -> Tensors:
    """What ComfyUI leaves in the files it saves."""
    ids = torch.arange(24)[None]
    return tensors | {
        f"{FIRST}transformer.text_projection.weight": torch.eye(16),
        f"{FIRST}transformer.logit_scale": torch.tensor(4.6),
        f"{SECOND}model.transformer.text_model.embeddings.position_ids": ids,
    }


def _bare(tensors: Tensors) -> Tensors:
    spare = ("position_ids", "logit_scale")
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(spare)}


@pytest.mark.parametrize("change", [_linear, _extras, _bare])
def test_files_of_other_tools_are_the_same_model(
    change: Callable[[Tensors], Tensors], configs: Path, sdxl_folder: Path, tmp_path: Path
) -> None:
    path = save_single(tmp_path / "x.safetensors", change(xl_tensors(sdxl_folder)), **EPSILON)
    ours = load_checkpoint(str(path), config=configs, device="cpu")
    require_equal_xl(ours, load_checkpoint(str(sdxl_folder), device="cpu"))


@pytest.mark.parametrize(
    ("metadata", "keys", "config", "flag", "expected"),
    [
        ("epsilon", (), False, None, "epsilon"),
        ("v", (), False, None, "v_prediction"),
        (None, ("v_pred",), False, None, "v_prediction"),
        (None, (), True, None, "epsilon"),
        (None, (), False, "v_prediction", "v_prediction"),
        (None, (), False, None, r"this SDXL file .* --prediction-type epsilon .* or v_prediction"),
        (None, ("v_pred", "ztsnr"), False, None, "zero terminal SNR"),
    ],
)
def test_the_prediction_type_is_told_and_never_guessed(
    metadata: str | None,
    keys: tuple[str, ...],
    config: bool,
    flag: str | None,
    expected: str,
    sdxl_folder: Path,
    configs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without --config the configs are the base model's in the hub's cache."""
    said = {"modelspec.prediction_type": metadata} if metadata else {}
    tensors = xl_tensors(sdxl_folder) | {key: torch.empty(0) for key in keys}
    path = save_single(tmp_path / "x.safetensors", tensors, **said)
    fill_cache(tmp_path / "hub", "stabilityai/stable-diffusion-xl-base-1.0", configs, monkeypatch)
    given = {"config": configs if config else None, "prediction_type": flag}
    if " " in expected:
        with pytest.raises(UsageError, match=expected) as error:
            locate(str(path), **given)
        assert "\n" not in str(error.value)
        return
    source = locate(str(path), **given)
    assert source.prediction_type == expected
    assert load_checkpoint(source, device="cpu").scheduler.config.prediction_type == expected


def _with(**tensors: Tensor) -> Callable[[Tensors], Tensors]:
    return lambda found: found | {name.replace("_DOT_", "."): t for name, t in tensors.items()}


def _without(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if not n.startswith(prefix)}


def _inpainting(tensors: Tensors) -> Tensors:
    return tensors | {f"{UNET}input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_inpainting, r"an inpainting SDXL model \(its UNet takes 9 channels\)"),
        (_with(conditioner_DOT_embedders_DOT_0_DOT_model_DOT_x=torch.zeros(1)), "SDXL refiner"),
        (_with(edm_mean=torch.zeros(4)), "an SDXL with EDM's"),
        (_with(cond_stage_model_DOT_model_DOT_x=torch.zeros(1)), "an unCLIP model"),
        (_without(FIRST), r"has no text encoder \(no conditioner\.embedders\.0\.transformer\.\*"),
        (_without(SECOND), r"has no text encoder 2 \(no conditioner\.embedders\.1\.model\.\*"),
        (_without(f"{SECOND}model.text_proj"), "text_encoder_2 lacks the weight text_projection"),
        (_without(f"{SECOND}model.transformer.resblocks.2."), "its text_encoder_2 lacks the weig"),
        (_without(f"{UNET}label_emb."), "its unet lacks the weight .*label_emb"),
    ],
)
def test_others_are_refused_by_name(
    change: Callable[[Tensors], Tensors],
    told: str,
    sdxl_folder: Path,
    configs: Path,
    tmp_path: Path,
) -> None:
    path = save_single(tmp_path / "x.safetensors", change(xl_tensors(sdxl_folder)), **EPSILON)
    with pytest.raises(UsageError, match=told) as error:
        load_checkpoint(str(path), config=configs, device="cpu")
    assert "\n" not in str(error.value)


def test_missing_configs_of_the_second_text_encoder_are_told(file: Path, configs: Path) -> None:
    with pytest.raises(UsageError, match=r"text_encoder_2/config\.json.*xl-base-1\.0"):
        locate(str(file))
    shutil.rmtree(configs / "tokenizer_2")
    (configs / "text_encoder_2" / "config.json").unlink()
    with pytest.raises(UsageError, match=r"lacks text_encoder_2/config\.json, tokenizer_2/vocab"):
        locate(str(file), config=configs)
