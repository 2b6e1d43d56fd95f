"""`expunge export` as a UNet and as a whole model, at every strength; what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.erased_runs import UNET, bits_equal, erase, unet
from support.files import tree

from erase.models.checkpoint import load_checkpoint
from expunge.cli import main


@pytest.fixture(scope="module")
def half(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in float16, saved as a variant."""
    folder = tmp_path_factory.mktemp("models") / "half"
    pipeline = StableDiffusionPipeline.from_pretrained(model_folder).to(torch.float16)
    pipeline.save_pretrained(folder, variant="fp16")
    return folder


def export(run: Path, to: Path, *flags: str) -> int:
    return main(["export", str(run), "--to", str(to), *flags])


def test_the_unet_as_it_is_reloads_bit_equal(finished: Path, tmp_path: Path) -> None:
    assert export(finished, tmp_path / "unet", "--format", "unet") == 0
    weights = load_file(tmp_path / "unet" / Path(UNET).name)
    assert bits_equal(weights, unet(finished))
    loaded = UNet2DConditionModel.from_pretrained(tmp_path / "unet").state_dict()
    assert bits_equal(loaded, unet(finished))
    assert {path.name for path in (tmp_path / "unet").iterdir()} == {"config.json", Path(UNET).name}
    config_json = json.loads((tmp_path / "unet" / "config.json").read_text())
    assert config_json == json.loads((finished / "unet" / "config.json").read_text())
    with (
        safe_open(tmp_path / "unet" / Path(UNET).name, "pt") as ours,
        safe_open(finished / UNET, "pt") as runs,
    ):
        assert ours.metadata() == runs.metadata()
        assert "church" in ours.metadata()["modelspec.title"]


def test_strength_goes_from_the_base_to_the_erased_model_and_beyond(
    finished: Path, model_folder: Path, tmp_path: Path
) -> None:
    found = {}
    for strength in ("0", "0.25", "1", "1.5"):
        flags = ["--format", "unet", "--strength", strength]
        assert export(finished, tmp_path / strength, *flags) == 0
        found[float(strength)] = load_file(tmp_path / strength / Path(UNET).name)
    base, erased = unet(model_folder), unet(finished)
    assert bits_equal(found[0.0], base)
    assert bits_equal(found[1.0], erased)
    for name in base:
        for strength in (0.25, 1.5):
            expected = base[name].double() + strength * (
                erased[name].double() - base[name].double()
            )
            torch.testing.assert_close(found[strength][name].double(), expected)
    assert not bits_equal(found[0.25], base) and not bits_equal(found[1.5], erased)


@pytest.mark.parametrize(("flag", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_dtype_casts_once(finished: Path, tmp_path: Path, flag: str, dtype: torch.dtype) -> None:
    assert export(finished, tmp_path / "unet", "--format", "unet", "--dtype", flag) == 0
    expected = {name: tensor.to(dtype) for name, tensor in unet(finished).items()}
    assert bits_equal(load_file(tmp_path / "unet" / Path(UNET).name), expected)


def test_strength_0_of_a_half_precision_base_is_its_very_tensors(
    half: Path, tmp_path: Path
) -> None:
    run = erase(half, tmp_path / "run", "--variant", "fp16")
    flags = ["--strength", "0", "--dtype", "fp16"]
    assert export(run, tmp_path / "model", *flags) == 0
    original = load_file(half / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert bits_equal(unet(tmp_path / "model"), original)
    # A variant's parts go by their plain names, so that nothing must be told to open them.
    written = {name for name in tree(tmp_path / "model") if name.endswith(".safetensors")}
    assert written == {
        UNET,
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    before = (half / "text_encoder" / "model.fp16.safetensors").read_bytes()
    assert (tmp_path / "model" / "text_encoder" / "model.safetensors").read_bytes() == before
    assert StableDiffusionPipeline.from_pretrained(tmp_path / "model").unet is not None


def test_a_pipeline_is_the_base_but_for_unet_and_card(
    finished: Path, model_folder: Path, tmp_path: Path
) -> None:
    assert export(finished, tmp_path / "model") == 0
    base, ours = tree(model_folder), tree(tmp_path / "model")
    assert ours.keys() == base.keys() | {"README.md"}
    same = {name for name in base if base[name] == ours[name]}
    assert base.keys() - same <= {UNET, "unet/config.json"} and UNET not in same
    card = ours["README.md"].decode()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    for text in ("church", "Not measured", "The base's licence applies; see the base model"):
        assert text in card
    assert str(model_folder.parent) not in card and "base_model:" not in card
    source = load_checkpoint(str(tmp_path / "model"), device="cpu").source
    assert source.files[UNET] in card
    assert "was not measured" not in card


def test_a_card_says_when_its_copy_was_not_measured(finished: Path, tmp_path: Path) -> None:
    assert export(finished, tmp_path / "model", "--strength", "0.5") == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "This copy was not measured" in card and "strength 0.5" in card


def test_a_card_has_the_scores(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    flags = "--protocol demo --steps 1 --device cpu --dtype float32".split()
    assert main(["evaluate", "concept", str(run), *flags]) == 0
    assert export(run, tmp_path / "model") == 0
    evaluation = json.loads((run / "eval" / "concept" / "evaluation.json").read_text())
    low, high = evaluation["erased"]["ua"]["ci95"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"[{low:.1f}, {high:.1f}\\]" in card


def test_a_safety_checker_that_was_not_fetched_is_not_asked_for(
    model_folder: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(model_folder, tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    (base / "model_index.json").write_text(json.dumps(index))
    run = erase(base, tmp_path / "run")
    assert export(run, tmp_path / "model") == 0
    assert StableDiffusionPipeline.from_pretrained(tmp_path / "model").safety_checker is None


def test_weights_that_a_type_cannot_hold_are_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    weights = unet(run)
    weights["conv_out.bias"][0] = 1e30
    save_file(weights, run / UNET)
    assert export(run, tmp_path / "out", "--format", "unet", "--dtype", "fp16") == 2
    assert "conv_out.bias is not finite" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert export(run, tmp_path / "out", "--format", "unet", "--dtype", "bf16") == 0
