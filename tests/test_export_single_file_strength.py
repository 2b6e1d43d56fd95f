"""Single files at part strength or in another type: the UNet alone follows, no original stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from support.erased_runs import unet
from support.single_files import (
    UNET,
    configs_of,
    halved,
    ldm_name,
    ldm_tensors,
    save_run,
    save_single,
    with_ema,
)
from torch import Tensor

from erase.export.single_file import export_single_file
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from erase.models.single_file.unet_keys import ema_key
from erase.tensors.bits import blend
from plumbing.errors import UsageError

Tensors = dict[str, Tensor]


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


@pytest.fixture(params=["full", "half"])
def made(
    request: pytest.FixtureRequest, model_folder: Path, tmp_path: Path
) -> tuple[Tensors, Path]:
    """A base's tensors, with an EMA, and a run on it in float32."""
    torch.manual_seed(0)
    # No two tensors alike: a fresh model's norms are all ones and zeros.
    plain = {
        n: t + 0.01 * torch.randn_like(t) if t.is_floating_point() else t
        for n, t in ldm_tensors(model_folder).items()
    }
    tensors = with_ema(halved(plain) if request.param == "half" else plain)
    file = save_single(tmp_path / "base.safetensors", tensors)
    configs = configs_of(model_folder, tmp_path / "configs")
    return tensors, save_run(locate(str(file), config=configs), tmp_path / "run")


def expected_unet(tensors: Tensors, run: Path, strength: float, dtype: torch.dtype) -> Tensors:
    """By diffusers name."""
    base = {name: tensors[UNET + ldm_name(name)].float() for name in unet(run)}
    return {n: blend(base[n], tensor, strength).to(dtype) for n, tensor in unet(run).items()}


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16])
def test_the_unet_and_its_copies_are_blended_and_the_rest_stays(
    strength: float, dtype: torch.dtype | None, made: tuple[Tensors, Path], tmp_path: Path
) -> None:
    tensors, run = made
    to = tmp_path / "erased.safetensors"
    result = export_single_file(run, to, ema="overwrite", strength=strength, dtype=dtype)
    exported = load_file(to)
    assert exported.keys() == tensors.keys()
    stored = dtype or tensors[f"{UNET}out.0.bias"].dtype
    for name, tensor in expected_unet(tensors, run, strength, stored).items():
        assert exported[UNET + ldm_name(name)].dtype == stored
        assert bits(exported.pop(UNET + ldm_name(name))) == bits(tensor), name
        assert bits(exported.pop(ema_key(ldm_name(name)))) == bits(tensor), name
    assert all(bits(tensor) == bits(tensors[key]) for key, tensor in exported.items())
    assert result["strength"] == strength and result["dtype"] == str(stored)[6:]
    told = header(to)
    title = "base.safetensors without church"
    whole = strength == 1
    assert told["modelspec.title"] == (title if whole else f"{title} (strength {strength:g})")
    assert told.get("expunge.strength") == (None if whole else repr(strength))
    assert told.get("expunge.dtype") == (str(dtype)[6:] if dtype else None)


def test_at_strength_0_it_is_the_base_again(made: tuple[Tensors, Path], tmp_path: Path) -> None:
    tensors, run = made
    export_single_file(run, to := tmp_path / "same.safetensors", strength=0)
    exported = load_file(to)
    assert exported.keys() == {name for name in tensors if not name.startswith("model_ema.")}
    assert all(bits(tensor) == bits(tensors[name]) for name, tensor in exported.items())


@pytest.mark.parametrize("ema", ["drop", "overwrite"])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_no_original_stays_at_half_strength(
    ema: Any, dtype: torch.dtype | None, made: tuple[Tensors, Path], tmp_path: Path
) -> None:
    tensors, run = made
    to = tmp_path / "erased.safetensors"
    export_single_file(run, to, ema=ema, strength=0.5, dtype=dtype)
    exported = load_file(to)
    held = {bits(tensor.float()) for tensor in exported.values()}
    own = [name for name in tensors if name.startswith(UNET)]
    changed = [n for n in own if bits(tensors[n].to(exported[n].dtype)) != bits(exported[n])]
    assert len(changed) > 50
    for rounded in (torch.float32, torch.float16):
        assert not [n for n in changed if bits(tensors[n].to(rounded).float()) in held]


def test_a_hidden_copy_is_refused_at_any_strength_but_0(model_folder: Path, tmp_path: Path) -> None:
    tensors = ldm_tensors(model_folder)
    tensors["spare.17"] = tensors[f"{UNET}input_blocks.0.0.weight"].clone()
    file = save_single(tmp_path / "base.safetensors", tensors)
    configs = configs_of(model_folder, tmp_path / "configs")
    run = save_run(locate(str(file), config=configs), tmp_path / "run")
    for dtype in (None, torch.bfloat16):
        with pytest.raises(UsageError, match=r"spare\.17 still holds the original's"):
            export_single_file(run, tmp_path / "x.safetensors", strength=0.1, dtype=dtype)
    assert not (tmp_path / "x.safetensors").exists()
    export_single_file(run, tmp_path / "x.safetensors", strength=0)


def test_a_type_that_cannot_hold_the_weights_is_refused(model_folder: Path, tmp_path: Path) -> None:
    tensors = ldm_tensors(model_folder)
    tensors[f"{UNET}out.2.bias"][0] = 70000
    file = save_single(tmp_path / "base.safetensors", tensors)
    configs = configs_of(model_folder, tmp_path / "configs")
    run = save_run(locate(str(file), config=configs), tmp_path / "run")
    to = tmp_path / "out" / "erased.safetensors"
    with pytest.raises(UsageError, match=r"out\.2\.bias is not finite .* float16; try --dtype"):
        export_single_file(run, to, dtype=torch.float16)
    assert not list(to.parent.iterdir())
    export_single_file(run, to, dtype=torch.bfloat16)


def test_a_file_in_another_type_goes_in_again_and_tells_no_old_strength(
    made: tuple[Tensors, Path], tmp_path: Path
) -> None:
    """Erased from once more, it tells the strength of the last time alone."""
    tensors, run = made
    half = tmp_path / "half.safetensors"
    export_single_file(run, half, strength=0.5, dtype=torch.float16)
    source = locate(str(half), config=tmp_path / "configs")
    weights = load_checkpoint(source, device="cpu").unet.state_dict()
    expected = expected_unet(tensors, run, 0.5, torch.float16)
    assert all(torch.equal(tensor, expected[name].float()) for name, tensor in weights.items())
    export_single_file(save_run(source, tmp_path / "two"), to := tmp_path / "two.safetensors")
    assert "expunge.strength" not in header(to) and "expunge.dtype" not in header(to)


def test_a_diffusers_folder_is_written_in_another_type(model_folder: Path, tmp_path: Path) -> None:
    run = save_run(locate(str(model_folder)), tmp_path / "run")
    to = tmp_path / "erased.safetensors"
    result = export_single_file(run, to, strength=0.5, dtype=torch.float16)
    exported = load_file(to)
    tensors = ldm_tensors(model_folder)
    for name, tensor in expected_unet(tensors, run, 0.5, torch.float16).items():
        assert bits(exported.pop(UNET + ldm_name(name))) == bits(tensor), name
    assert all(bits(tensor) == bits(tensors[key]) for key, tensor in exported.items())
    assert result["dtype"] == "float16"
