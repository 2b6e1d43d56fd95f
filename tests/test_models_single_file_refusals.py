"""Single files that are refused: by name, in one line, and before anything in them could run."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.single_files import UNET, configs_of, ldm_tensors, save_single, with_ema
from support.strangers import Payload
from torch import Tensor

from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from plumbing.errors import UsageError

Tensors = dict[str, Tensor]


@pytest.fixture
def configs(model_folder: Path, tmp_path: Path) -> Path:
    return configs_of(model_folder, tmp_path / "configs")


@pytest.fixture
def file(model_folder: Path, tmp_path: Path) -> Path:
    return save_single(tmp_path / "tiny.safetensors", with_ema(ldm_tensors(model_folder)))


def test_what_a_ckpt_would_run_does_not_run(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    """Plain unpickling runs it, as the last lines show; `locate` refuses the file."""
    place, mark = tmp_path / "evil.ckpt", tmp_path / "ran"
    torch.save({"state_dict": ldm_tensors(model_folder), "callback": Payload(mark)}, place)
    with pytest.raises(UsageError, match=r"holds more than weights.*could run code") as error:
        locate(str(place), config=configs)
    assert "\n" not in str(error.value) and "weights_only" not in str(error.value)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state_dict": {"model.x": [1, 2]}}, "model.x is a list"),
        ([1, 2], "the top is a list"),
        ({"epoch": 3}, "epoch is a int"),
    ],
)
def test_a_ckpt_of_other_things_is_refused(content: Any, told: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(UsageError, match=told):
        locate(str(tmp_path / "x.ckpt"))


def test_files_that_are_no_files_end_in_one_line(tmp_path: Path) -> None:
    for name in ("x.ckpt", "x.safetensors"):
        (tmp_path / name).write_bytes(b"not a model\n" * 20)
        with pytest.raises(UsageError, match=r"x\.") as error:
            locate(str(tmp_path / name))
        assert "\n" not in str(error.value)


def _resized(name: str, shape: tuple[int, ...]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, UNET + name: torch.zeros(shape)}


def _without(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {n: t for n, t in tensors.items() if not n.startswith(prefix)}


def _with(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, **{name: torch.zeros(2) for name in names}}


def _only(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda _: {name: torch.zeros(2, 2) for name in names}


REFUSED: list[tuple[Callable[[Tensors], Tensors], str]] = [
    (_resized("input_blocks.0.0.weight", (8, 9, 3, 3)), "an inpainting model .* 9 channels"),
    (_resized("input_blocks.0.0.weight", (8, 5, 3, 3)), "a depth model"),
    (_with(f"{UNET}label_emb.0.0.weight"), "an unCLIP model"),
    (_with("conditioner.embedders.0.model.ln_final.bias"), "an SDXL refiner"),
    (_only(f"{UNET}double_blocks.0.img_attn.norm.key_norm.scale"), "a FLUX model"),
    (_only("double_blocks.0.img_attn.norm.key_norm.scale"), "a FLUX model"),
    (_only(f"{UNET}joint_blocks.0.x_block.attn.proj.weight"), "a Stable Diffusion 3 model"),
    (_only("lora_unet_down_blocks_0.lora_down.weight"), "a LoRA"),
    (_only("down_blocks.0.resnets.0.conv1.weight"), "a UNet with diffusers' names"),
    (_only("bert.embeddings"), "no Stable Diffusion known here"),
    (_without("cond_stage_model."), "has no text encoder"),
    (_without("first_stage_model."), "has no autoencoder"),
    (_with("v_pred", "ztsnr"), "zero terminal SNR"),
]


@pytest.mark.parametrize(("change", "told"), REFUSED)
def test_other_files_are_refused_by_name(
    change: Callable[[Tensors], Tensors],
    told: str,
    model_folder: Path,
    configs: Path,
    tmp_path: Path,
) -> None:
    path = save_single(tmp_path / "x.safetensors", change(ldm_tensors(model_folder)))
    with pytest.raises(UsageError, match=told) as error:
        locate(str(path), config=configs)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_without(f"{UNET}out.0.bias"), r"its unet lacks the weight .*out\.0\.bias"),
        (_with(f"{UNET}input_blocks.9.0.op.bias"), r"its unet has the weight .*input_blocks\.9"),
        (_resized("time_embed.0.bias", (3,)), r"time_embedding\.linear_1\.bias is \(3,\), not"),
        (_without("first_stage_model.quant_conv.bias"), r"its vae lacks the weight quant_conv\.b"),
        (_without("first_stage_model.decoder.mid.attn_1.q.weight"), "its vae lacks the weight"),
        (_without("cond_stage_model.transformer.text_model.final"), "its text_encoder lacks"),
        (_with("cond_stage_model.transformer.text_model.encoder.layers.1.x"), "no place"),
    ],
)
def test_no_weight_is_filled_at_random_and_none_dropped(
    change: Callable[[Tensors], Tensors],
    told: str,
    model_folder: Path,
    configs: Path,
    tmp_path: Path,
) -> None:
    path = save_single(tmp_path / "x.safetensors", change(ldm_tensors(model_folder)))
    with pytest.raises(UsageError, match=told) as error:
        load_checkpoint(str(path), config=configs, device="cpu")
    assert "\n" not in str(error.value)


def test_missing_configs_are_told_and_how_to_get_them(file: Path, configs: Path) -> None:
    """Without a network and with an empty cache; see `HF_HUB_OFFLINE` in conftest.py."""
    with pytest.raises(UsageError, match=r"unet/config\.json.*hf download .*--config") as error:
        locate(str(file))
    assert "\n" not in str(error.value)
    (configs / "vae" / "config.json").unlink()
    shutil.rmtree(configs / "tokenizer")
    with pytest.raises(UsageError, match=r"lacks vae/config\.json, tokenizer/vocab\.json"):
        locate(str(file), config=configs)
