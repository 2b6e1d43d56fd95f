"""Single files out: the base's own, the UNet alone replaced, and no original one left in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from support.erased_runs import erase, unet
from support.single_files import (
    UNET,
    configs_of,
    halved,
    ldm_name,
    ldm_tensors,
    save_single,
    second_folder,
    with_ema,
)
from torch import Tensor

from erase.export.single_file import export_single_file
from erase.models.checkpoint import load_checkpoint
from erase.models.single_file.unet_keys import ema_key
from erase.saliency.mask import SaliencyMask
from expunge.cli import main
from plumbing.errors import UsageError

Tensors = dict[str, Tensor]
METADATA = {"modelspec.author": "ada", "modelspec.hash_sha256": "0xab", "note": "kept"}


@pytest.fixture
def configs(model_folder: Path, tmp_path: Path) -> Path:
    return configs_of(model_folder, tmp_path / "configs")


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def run_on(file: Path, configs: Path, out: Path, *flags: str) -> Path:
    """Two steps on a single file."""
    where = ("--config", str(configs), "--device", "cpu", "--dtype", "float32")
    return erase(file, out, *where, "--train-method", "full", *flags)


def require_gone(original: Tensors, exported: Tensors, names: dict[str, str]) -> int:
    """No key holds a UNet tensor of the original's that was changed; returns how many were.

    Compared in float32, so that a copy in half precision counts, and whatever the shape. Of the few
    weights of a norm nothing may be left of a change in half precision: those are passed over.
    """
    held = {bits(tensor.float()) for tensor in exported.values()}
    changed = [n for n in names.values() if bits(original[n]) != bits(exported[n])]
    for rounded in (torch.float32, torch.float16):
        shown = [
            n for n in changed if bits(original[n].to(rounded)) != bits(exported[n].to(rounded))
        ]
        assert len(shown) > 0.9 * len(changed)
        assert not [n for n in shown if bits(original[n].to(rounded).float()) in held]
    return len(changed)


@pytest.mark.parametrize("precision", ["full", "half"])
@pytest.mark.parametrize("density", ["0.3", "0.02"])
def test_only_the_unet_changes_and_only_where_the_mask_is_1(
    precision: str, density: str, model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    tensors = ldm_tensors(model_folder)
    tensors["v_pred_not"] = torch.empty(0)
    tensors = halved(tensors) if precision == "half" else tensors
    file = save_single(tmp_path / "base.safetensors", tensors, **METADATA)
    run = run_on(file, configs, tmp_path / "run", "--density", density)
    to = tmp_path / "out" / "erased.safetensors"
    result = export_single_file(run, to)
    original, exported = load_file(file), load_file(to)
    assert {n: (t.dtype, t.shape) for n, t in exported.items()} == {
        n: (t.dtype, t.shape) for n, t in original.items()
    }
    mask = SaliencyMask.load(run / "mask.safetensors")
    names = {UNET + ldm_name(name): name for name in unet(run)}
    changed = 0
    for key, tensor in exported.items():
        if key not in names:
            assert bits(tensor) == bits(original[key]), key
            continue
        differs = tensor != original[key]
        assert not (differs & ~mask.bits(names[key])).any(), key
        changed += int(differs.sum())
        erased = unet(run)[names[key]].to(tensor.dtype)
        assert bits(tensor) == bits(erased), key
    assert 0.5 * mask.kept < changed <= mask.kept
    told = header(to)
    assert told["modelspec.author"] == "ada" and told["note"] == "kept"
    assert "modelspec.hash_sha256" not in told
    assert told["modelspec.title"] == "base.safetensors without church"
    assert told["modelspec.architecture"] == "stable-diffusion-v1"
    assert told["modelspec.prediction_type"] == "epsilon"
    assert told["expunge.concept"] == "church" and told["expunge.ema"] == "none in the base"
    assert result["tensors"] == len(exported) and result["bytes"] == to.stat().st_size
    assert not list(to.parent.glob(".*"))


def test_what_comes_out_goes_in_again(model_folder: Path, configs: Path, tmp_path: Path) -> None:
    """The exported file loads as the run does, whose weights are in float32 as the base's are."""
    file = save_single(tmp_path / "base.safetensors", ldm_tensors(model_folder))
    run = run_on(file, configs, tmp_path / "run")
    export_single_file(run, tmp_path / "erased.safetensors")
    again = load_checkpoint(str(tmp_path / "erased.safetensors"), config=configs, device="cpu")
    erased = load_checkpoint(str(run), device="cpu")
    for part in ("unet", "vae", "text_encoder"):
        weights = getattr(erased, part).state_dict()
        assert all(torch.equal(t, weights[n]) for n, t in getattr(again, part).state_dict().items())


def _lit_ema(tensors: Tensors) -> Tensors:
    return with_ema(tensors)


def _exact_ema(tensors: Tensors) -> Tensors:
    """An EMA that has come to rest: the very weights again."""
    found = with_ema(tensors)
    copies = {"model_ema." + n[6:].replace(".", ""): t.clone() for n, t in tensors.items()}
    return found | {n: t for n, t in copies.items() if n in found}


def _half_ema(tensors: Tensors) -> Tensors:
    return {
        n: t.half() if n.startswith("model_ema.diff") else t for n, t in _exact_ema(tensors).items()
    }


def _other_names(tensors: Tensors) -> Tensors:
    """A backup with dots, and another with diffusers' names."""
    own = {n: t for n, t in tensors.items() if n.startswith(UNET)}
    backup = {f"backup.{n}": t.clone() for n, t in own.items()}
    return {
        **tensors,
        **backup,
        "ema_unet.conv_in.weight": own[f"{UNET}input_blocks.0.0.weight"] + 1,
    }


@pytest.mark.parametrize("ema", ["drop", "overwrite"])
@pytest.mark.parametrize("more", [_lit_ema, _exact_ema, _half_ema, _other_names])
def test_no_copy_of_an_original_weight_survives_under_any_key(
    more: Callable[[Tensors], Tensors], ema: str, model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    """A copy is at the original's or at the EMA's values; both bring the concept back."""
    torch.manual_seed(0)
    # No two tensors alike: a fresh model's norms are all ones and zeros.
    plain = {
        n: t + 0.01 * torch.randn_like(t) if t.is_floating_point() else t
        for n, t in ldm_tensors(model_folder).items()
    }
    file = save_single(tmp_path / "base.safetensors", more(plain))
    run = run_on(file, configs, tmp_path / "run", "--density", "0.5")
    to = tmp_path / "erased.safetensors"
    result = export_single_file(run, to, ema=ema)  # pyright: ignore[reportArgumentType]
    original, exported = load_file(file), load_file(to)
    names = {name: UNET + ldm_name(name) for name in unet(run)}
    assert require_gone(original, exported, names) > 20
    added = original.keys() - plain.keys()
    counters = {"model_ema.decay", "model_ema.num_updates"} & added
    if ema == "drop":
        assert exported.keys() == plain.keys()
        assert set(result["dropped"]) == added
    else:
        assert exported.keys() == original.keys()
        erased = {ema_key(ldm_name(n)): t for n, t in unet(run).items()}
        erased |= {f"backup.{names[n]}": t for n, t in unet(run).items()}
        erased["ema_unet.conv_in.weight"] = unet(run)["conv_in.weight"]
        for key in added - counters:
            assert bits(exported[key]) == bits(erased[key].to(original[key].dtype)), key
        assert all(bits(exported[key]) == bits(original[key]) for key in counters)
    assert header(to)["expunge.ema"].startswith(
        str(len(added - counters if ema != "drop" else added))
    )
    assert all(bits(exported[n]) == bits(t) for n, t in plain.items() if not n.startswith(UNET))


def test_a_copy_under_a_name_without_a_meaning_is_refused(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    """Nothing is written then, since only its owner knows what it is for."""
    tensors = ldm_tensors(model_folder)
    hidden = {"spare.17": tensors[f"{UNET}input_blocks.0.0.weight"].clone()}
    file = save_single(tmp_path / "base.safetensors", tensors | hidden)
    run = run_on(file, configs, tmp_path / "run", "--density", "0.5")
    with pytest.raises(UsageError, match=r"spare\.17 still holds the original's .*input_blocks"):
        export_single_file(run, tmp_path / "out" / "erased.safetensors")
    assert not list((tmp_path / "out").iterdir())


def test_a_ckpt_becomes_a_safetensors(model_folder: Path, configs: Path, tmp_path: Path) -> None:
    tensors = with_ema(ldm_tensors(model_folder))
    torch.save({"state_dict": tensors}, tmp_path / "base.ckpt")
    run = run_on(tmp_path / "base.ckpt", configs, tmp_path / "run")
    with pytest.raises(UsageError, match=r"written as \.safetensors"):
        export_single_file(run, tmp_path / "erased.ckpt")
    export_single_file(run, tmp_path / "erased.safetensors")
    exported = load_file(tmp_path / "erased.safetensors")
    assert exported.keys() == {n for n in tensors if not n.startswith("model_ema.")}
    assert all(bits(t) == bits(tensors[n]) for n, t in exported.items() if not n.startswith(UNET))


@pytest.mark.parametrize("second", [False, True])
def test_a_diffusers_folder_becomes_a_file_that_diffusers_reads(
    second: bool, model_folder: Path, tmp_path: Path
) -> None:
    """Our layout of the folder is the tests' own, and diffusers' reading of it the folder again."""
    folder = second_folder(model_folder, tmp_path / "second") if second else model_folder
    run = erase(folder, tmp_path / "run", "--device", "cpu")
    to = tmp_path / "erased.safetensors"
    export_single_file(run, to)
    spare = ("betas", "logit_scale", "text_projection")
    expected = {
        n: t
        for n, t in ldm_tensors(folder, second=second).items()
        if "resblocks.1." not in n and not n.endswith(spare)
    }
    exported = load_file(to)
    assert exported.keys() == expected.keys()
    erased = {UNET + ldm_name(n): t for n, t in unet(run).items()}
    assert all(bits(t) == bits((expected | erased)[n]) for n, t in exported.items())
    architecture = "stable-diffusion-v2-512" if second else "stable-diffusion-v1"
    assert header(to)["modelspec.architecture"] == architecture
    again, whole = (
        load_checkpoint(str(place), device="cpu", **words)
        for place, words in ((to, {"config": folder}), (run, {}))
    )
    for part in ("unet", "vae", "text_encoder"):
        weights = getattr(whole, part).state_dict()
        assert all(torch.equal(t, weights[n]) for n, t in getattr(again, part).state_dict().items())


def test_the_command_writes_it_and_refuses_what_the_format_does_not_know(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, to = erase(model_folder, tmp_path / "run"), tmp_path / "safe.safetensors"
    words = ["export", str(run), "--format", "single-file", "--to", str(to)]
    assert main(["export", str(run), "--ema", "overwrite"]) == 2
    assert "--ema is for" in capsys.readouterr().err
    assert not to.exists()
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert str(to) in shown and "church" in shown and "copies of it left out" in shown
    whole = {n: t for n, t in load_file(to).items() if n.startswith(UNET)}
    assert main([*words, "--strength", "0", "--dtype", "fp16", "--overwrite"]) == 0
    assert "float16 at strength 0" in capsys.readouterr().out
    original = {UNET + ldm_name(n): t for n, t in unet(model_folder).items()}
    exported = load_file(to)
    assert whole.keys() == original.keys()
    for key, tensor in original.items():
        assert torch.equal(exported[key], tensor.half())
    assert any(not torch.equal(whole[key], tensor) for key, tensor in original.items())


def test_the_same_export_twice_is_the_same_file(
    model_folder: Path, configs: Path, tmp_path: Path
) -> None:
    file = save_single(tmp_path / "base.safetensors", ldm_tensors(model_folder))
    run = run_on(file, configs, tmp_path / "run")
    to = tmp_path / "erased.safetensors"
    first = export_single_file(run, to)
    again = export_single_file(run, to)
    assert first["written"] and not again["written"] and first["sha256"] == again["sha256"]
    to.write_bytes(b"other")
    with pytest.raises(UsageError, match="--overwrite"):
        export_single_file(run, to)
    assert export_single_file(run, to, overwrite=True)["sha256"] == first["sha256"]


def test_an_altered_base_is_refused(model_folder: Path, configs: Path, tmp_path: Path) -> None:
    tensors = ldm_tensors(model_folder)
    file = save_single(tmp_path / "base.safetensors", tensors)
    run = run_on(file, configs, tmp_path / "run")
    tensors["betas"] += 1
    save_single(file, tensors)
    with pytest.raises(UsageError, match="is not the one that was erased"):
        export_single_file(run, tmp_path / "erased.safetensors")
