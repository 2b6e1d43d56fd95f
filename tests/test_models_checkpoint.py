"""Loading: what is accepted, what is refused by name, and what identifies a model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.companions import judge_folder, vocabulary
from erase.models.devices import resolve_dtype
from erase.models.locate import locate
from expunge.cli import main
from plumbing.errors import UsageError

WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_loads_in_eval_mode_and_float32(tiny: Bundle) -> None:
    assert not tiny.unet.training
    assert next(tiny.unet.parameters()).dtype == torch.float32
    assert load_checkpoint(tiny.source, dtype="bfloat16").unet.dtype == torch.bfloat16


def test_digest_covers_weights_scheduler_and_tokenizer(
    model_folder: Path, other_model_folder: Path, tmp_path: Path
) -> None:
    source = locate(str(model_folder))
    assert source.digest == locate(str(model_folder)).digest
    assert source.digest != locate(str(other_model_folder)).digest
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    assert locate(str(copy)).digest == source.digest
    (copy / "scheduler" / "scheduler_config.json").write_text("{}")
    assert locate(str(copy)).digest != source.digest


def test_vocabulary_is_what_the_judges_name(tiny: Bundle) -> None:
    words = vocabulary(tiny.source)
    assert words is not None
    assert words.objects == ("church", "dog", "delivery truck", "apple")
    assert words.styles == ("flat", "outline", "night")
    folder = judge_folder(tiny.source, "object")
    assert folder is not None
    assert (folder / "config.json").is_file()


def test_same_seed_same_image_whatever_the_batch_size(tiny: Bundle) -> None:
    pipeline = tiny.pipeline("ddim")

    def draw(seeds: list[int]) -> torch.Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.from_numpy(
            pipeline(
                ["a church"] * len(seeds),
                generator=generators,
                num_inference_steps=3,
                output_type="np",
            ).images
        )

    torch.testing.assert_close(draw([3, 4])[1:], draw([4]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("StableDiffusionXLInpaintPipeline", "XLInpaintPipeline is not supported"),
        ("StableDiffusionXLPipeline", "lacks text_encoder_2, tokenizer_2"),
        ("StableDiffusion3Pipeline", "StableDiffusion3Pipeline is not supported"),
        ("FluxPipeline", "Flux"),
    ],
)
def test_other_families_are_refused_by_name(
    model_folder: Path, tmp_path: Path, family: str, message: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": family}))
    with pytest.raises(UsageError, match=message):
        locate(str(copy))


def test_inpainting_models_are_refused(model_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    config = copy / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"in_channels": 9}))
    with pytest.raises(UsageError, match="9 channels"):
        locate(str(copy))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("minature", "did you mean miniature"),
        ("nobody/nothing", "the hub gave no such pipeline"),
        ("absent.safetensors", "no such file"),
    ],
)
def test_unknown_models_are_told_in_one_line(model: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        locate(model)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_pipeline_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model_index\.json"):
        locate(str(tmp_path))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx512_f": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_on_a_cpu_that_is_made_for_it(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_dtype("auto", torch.device("cpu")) == expected


def _truncate(folder: Path) -> None:
    weights = folder / "unet" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])


def _leave_out(folder: Path) -> None:
    weights = load_file(folder / "vae" / WEIGHTS)
    weights.pop("encoder.conv_in.weight")
    save_file(weights, folder / "vae" / WEIGHTS, metadata={"format": "pt"})


def _garble_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


def _empty_vocabulary(folder: Path) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text("[]")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_truncate, "its unet does not load"),
        (_leave_out, r"its vae lacks the weight encoder\.conv_in\.weight"),
        (_garble_config, r"unet/config\.json cannot be read"),
        (_empty_vocabulary, "its tokenizer does not load"),
    ],
)
def test_a_broken_model_ends_every_command_in_one_line(
    spoil: Callable[[Path], None],
    told: str,
    model_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Above all it is not evaluated, with random weights or the original's in the gap."""
    folder, out = tmp_path / "broken", tmp_path / "out"
    shutil.copytree(model_folder, folder)
    spoil(folder)
    places = ["--out", str(out), "--device", "cpu"]
    for words in (
        ["erase", "church", "--model", str(folder)],
        ["evaluate", "concept", str(folder), "--concept", "church"],
        ["evaluate", "quality", str(folder), "--concept", "church", "--clip", str(clip_folder)],
    ):
        assert main([*words, *places]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith("expunge: error: --model ") and re.search(told, error)
        assert not (out / "evaluation.json").exists() and not (out / "unet").exists()
