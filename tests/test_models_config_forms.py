"""Every key of a model's configs, in each form that diffusers and transformers take it in."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from support.erased_runs import erase
from support.strangers import change, refused

from erase.export.single_file_base import open_base
from erase.image_sets.captioned_folder import read_pixels
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate, native_size
from erase.models.part_config import PartConfig, sample_size
from erase.models.prediction import predict
from erase.training.memory import plan_training
from plumbing.errors import UsageError

UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
LEFT_OUT = {
    UNET: "in_channels out_channels mid_block_type freq_shift flip_sin_to_cos act_fn norm_eps "
    "center_input_sample downsample_padding transformer_layers_per_block num_attention_heads "
    "_class_name _diffusers_version addition_embed_type use_linear_projection",
    VAE: "latent_channels sample_size force_upcast act_fn shift_factor latents_mean latents_std "
    "in_channels out_channels _class_name",
    TEXT: "hidden_act projection_dim layer_norm_eps architectures model_type dropout",
    "model_index.json": "_diffusers_version requires_safety_checker image_encoder",
}
"""What has the same value by its class's own default."""
SAME: list[tuple[str, dict[str, Any]]] = [
    (UNET, {"sample_size": [8, 8]}),
    (UNET, {"layers_per_block": [1, 1]}),
    (UNET, {"attention_head_dim": [4, 4]}),
    (UNET, {"cross_attention_dim": [16, 16]}),
    (UNET, {"transformer_layers_per_block": [1, 1]}),
    (UNET, {"only_cross_attention": [False, False]}),
    (UNET, {"class_embed_type": None, "addition_embed_type": None, "time_cond_proj_dim": None}),
    (UNET, {"encoder_hid_dim": None, "num_attention_heads": None, "upcast_attention": None}),
    (UNET, {"_diffusers_version": None, "unheard_of": [1]}),
    (VAE, {"sample_size": [16, 16], "force_upcast": False}),
    (VAE, {"shift_factor": None, "latents_mean": None, "latents_std": None}),
    (VAE, {"shift_factor": 0.0, "unheard_of": {}}),
    (TEXT, {"torch_dtype": "float16", "dtype": None, "architectures": None}),
    (TEXT, {"use_attention_mask": False, "eos_token_id": 2}),
    ("model_index.json", {"safety_checker": None, "feature_extractor": None}),
    ("model_index.json", {"safety_checker": [None, None], "requires_safety_checker": None}),
]
WRONG: list[tuple[str, dict[str, Any], str]] = [
    *[
        (UNET, {"sample_size": value}, "write it there in latents, a number or [height, width]")
        for value in (None, "8", [8], [8, 8, 8], [8, None], 0, -8, 8.0, True, {"height": 8})
    ],
    (UNET, {"block_out_channels": None}, "its unet does not load"),
    (UNET, {"layers_per_block": "1"}, "its unet does not load"),
    (UNET, {"num_attention_heads": 4}, "its unet does not load"),
    (UNET, {"cross_attention_dim": [16, 8]}, "text embeddings of width 8 and 16"),
    (UNET, {"cross_attention_dim": {}}, "its config does not load"),
    (UNET, {"time_cond_proj_dim": 4}, "latent consistency model's (time_cond_proj_dim is 4)"),
    (UNET, {"class_embed_type": "timestep"}, "told a class"),
    (UNET, {"num_class_embeds": 1000}, "told a class"),
    (UNET, {"addition_embed_type": "text_time"}, "addition_embed_type is 'text_time'"),
    (UNET, {"encoder_hid_dim_type": "ip_image_proj"}, "shown an image"),
    *[
        (VAE, {"scaling_factor": value}, f"its autoencoder's scaling_factor is {value}")
        for value in (None, "0.5", 0, -1, [0.5], True)
    ],
    (VAE, {"shift_factor": 0.1}, "its autoencoder's shift_factor is not supported"),
    (VAE, {"latents_mean": [0.1] * 4}, "its autoencoder's latents_mean is not supported"),
    (VAE, {"sample_size": None}, "its vae does not load"),
    (TEXT, {"hidden_act": None}, "hidden_act' expected str"),
    (TEXT, {"num_hidden_layers": "1"}, "num_hidden_layers' expected int"),
]


def everything(folder: Path) -> tuple[Any, ...]:
    """All that is read of a model's configs: its size, what it says, draws, and is exported as."""
    source = locate(str(folder))
    sd = load_checkpoint(source, device="cpu")
    assert native_size(source) == sd.native_size
    parameters = list(sd.trainable("xattn").values())
    plan = plan_training(
        sd.denoiser,
        parameters=parameters,
        selected=10,
        batch_size=2,
        steps=2,
        dtype=torch.float32,
        frozen_teacher=True,
        held=2,
        free=100,
    )
    exported = open_base(source)
    return (
        sd.native_size,
        said(sd),
        drawn(sd),
        plan,
        sd.vae.config["scaling_factor"],
        sorted(exported.tensors),
        exported.family.name,
    )


def said(sd: Bundle) -> list[float]:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = predict(sd.denoiser, latents, torch.tensor([5]), sd.encode(("a church",)))
    return answer.flatten().tolist()


def drawn(sd: Bundle) -> list[float]:
    width, height = sd.native_size
    pipeline, generator = sd.pipeline("ddim"), torch.Generator().manual_seed(0)
    words: dict[str, Any] = {"num_inference_steps": 2, "output_type": "pt"}
    images = pipeline("a dog", height=height, width=width, generator=generator, **words).images
    return images.flatten().tolist()


@pytest.fixture(scope="module")
def usual(model_folder: Path) -> tuple[Any, ...]:
    """What the tiny model's own forms mean."""
    return everything(model_folder)


@pytest.mark.parametrize(("file", "values"), SAME)
def test_forms_that_mean_the_same_are_read_alike(
    file: str,
    values: dict[str, Any],
    usual: tuple[Any, ...],
    model_copy: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    change(model_copy / file, **values)
    assert everything(model_copy) == usual
    assert "not expected" not in capfd.readouterr().err and not caplog.records


@pytest.mark.parametrize("file", LEFT_OUT)
def test_what_is_left_out_is_the_library_s_own(
    file: str, usual: tuple[Any, ...], model_copy: Path
) -> None:
    told = json.loads((model_copy / file).read_text())
    for key in LEFT_OUT[file].split():
        told.pop(key, None)
    (model_copy / file).write_text(json.dumps(told))
    assert everything(model_copy) == usual


def test_a_text_encoder_s_config_may_be_a_whole_clip_s(
    usual: tuple[Any, ...], model_copy: Path
) -> None:
    inner = json.loads((model_copy / TEXT).read_text())
    (model_copy / TEXT).write_text(json.dumps({"model_type": "clip", "text_config": inner}))
    assert everything(model_copy) == usual


def test_no_scaling_factor_is_the_one_of_stable_diffusion_1(model_copy: Path) -> None:
    told = json.loads((model_copy / VAE).read_text())
    del told["scaling_factor"]
    (model_copy / VAE).write_text(json.dumps(told))
    assert load_checkpoint(str(model_copy), device="cpu").vae.config["scaling_factor"] == 0.18215


def test_a_masked_text_encoder_is_asked_as_its_pipeline_asks_it(model_copy: Path) -> None:
    change(model_copy / TEXT, use_attention_mask=True)
    sd = load_checkpoint(str(model_copy), device="cpu")
    theirs, _ = sd.pipeline("ddim").encode_prompt(["a church"], torch.device("cpu"), 1, False)
    plain = load_checkpoint(str(locate(str(model_copy)).folder), device="cpu")
    plain.text_encoder.config.use_attention_mask = False
    assert torch.equal(sd.encode(("a church",)).embeddings, theirs)
    assert not torch.equal(plain.encode(("a church",)).embeddings, theirs)


@pytest.mark.parametrize(("file", "values", "told"), WRONG)
def test_wrong_types_are_told_in_one_line(
    file: str, values: dict[str, Any], told: str, model_copy: Path, tmp_path: Path
) -> None:
    change(model_copy / file, **values)
    with pytest.raises(UsageError) as error:
        load_checkpoint(str(model_copy), device="cpu")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_an_evaluation_asks_before_any_weights(
    model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "concept", str(model_copy), "--concept", "church"]
    words += ["--out", str(tmp_path / "out"), "--device", "cpu"]
    change(model_copy / VAE, block_out_channels=None)
    refused(words, "vae/config.json has block_out_channels None", capsys)
    change(model_copy / UNET, sample_size="8")
    refused(words, "sample_size 8, which does not tell", capsys)


@pytest.mark.parametrize(
    ("size", "version", "read"),
    [
        (32, "0.6.0", (64, 64)),
        (32, "0.8.1.dev0", (64, 64)),
        (32, "0.9.0", (32, 32)),
        (32, "0.42.1", (32, 32)),
        (32, None, (32, 32)),
        (96, "0.6.0", (96, 96)),
        ([32, 48], "0.6.0", (32, 48)),
    ],
)
def test_old_sizes_are_those_that_diffusers_draws(
    size: Any, version: str | None, read: tuple[int, int], model_copy: Path
) -> None:
    """Before 0.9, 32 was written where 64 was meant; a run's own config must say 64."""
    change(model_copy / UNET, sample_size=size, _diffusers_version=version)
    sd = load_checkpoint(str(model_copy), device="cpu")
    assert sd.native_size == native_size(sd.source) == (read[1] * 2, read[0] * 2)
    sd.pipeline("ddim")
    assert sample_size(json.loads(sd.denoiser.to_json_string())) == read
    if version is not None:
        kept = sd.denoiser.config
        # What it says of old sizes is what is not to be shown.
        with warnings.catch_warnings(action="ignore"):
            theirs = StableDiffusionPipeline.from_pretrained(model_copy, safety_checker=None)
        assert sample_size(theirs.unet.config) == sample_size(kept)


def test_what_is_no_square_is_trained_and_drawn_with_its_width_and_height(
    model_folder: Path, tmp_path: Path
) -> None:
    from PIL import Image

    wide = shutil.copytree(model_folder, tmp_path / "wide")
    change(wide / UNET, sample_size=[8, 12])
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        Image.new("RGB", (60, 40), (255, 0, 0)).save(photos / f"{name}.png")
        (photos / f"{name}.txt").write_text("a church")
    run = erase(wide, tmp_path / "run", "--forget-data", str(photos))
    assert json.loads((run / UNET).read_text())["sample_size"] == [8, 12]
    sd = load_checkpoint(str(run), device="cpu")
    assert sd.native_size == native_size(sd.source) == (24, 16)
    assert read_pixels(photos / "a.png", "--forget-data", sd.native_size).shape == (3, 16, 24)
    assert read_pixels(photos / "a.png", "--forget-data", 16).shape == (3, 16, 16)


def test_a_class_is_asked_for_what_is_missing_alone() -> None:
    class Kind:
        def __init__(self, width: int = 3, *, depth: int) -> None: ...

    def never() -> Callable[[], Any]:
        raise AssertionError("imported")

    assert PartConfig({"width": 5}, never)["width"] == 5
    assert PartConfig({}, lambda: Kind)["width"] == 3
    for key in ("depth", "height"):
        with pytest.raises(KeyError):
            PartConfig({}, lambda: Kind)[key]
