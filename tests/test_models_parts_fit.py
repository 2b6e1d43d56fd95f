"""A model's parts are asked whether they fit each other before their weights are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.hub_cache import fill_cache
from support.strangers import change
from support.tiny_models import TOKENS

from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from eval.generation.prompt_embedding import encode
from plumbing.errors import UsageError

UNET, VAE, TEXT = "unet/config.json", "vae/config.json", "text_encoder/config.json"
LONG = "a church " * 40


def words_of(folder: Path) -> Path:
    """The file with what a tokenizer says of itself, apart from its vocabulary."""
    return folder / "tokenizer" / "tokenizer_config.json"


@pytest.mark.parametrize("length", [None, 77, TOKENS, 10**30, TOKENS - 4])
def test_prompts_are_cut_where_the_text_encoder_ends(
    length: int | None, model_copy: Path, model_folder: Path
) -> None:
    """Whatever the tokenizer says of its length, in training as in drawing."""
    told = json.loads(words_of(model_copy).read_text())
    told.pop("max_length", None)
    told.pop("model_max_length")
    words_of(model_copy).write_text(
        json.dumps(told | ({"model_max_length": length} if length else {}))
    )
    usual = load_checkpoint(str(model_folder), device="cpu")
    model = load_checkpoint(str(model_copy), device="cpu")
    shortest = min(length or TOKENS, TOKENS)
    for prompt in ("a church", LONG):
        own = model.encode((prompt,)).embeddings
        assert own.shape[1] == shortest
        drawn = encode(model.pipeline("ddim"), {prompt})[prompt]["prompt_embeds"]
        assert torch.equal(drawn, own)
        if shortest == TOKENS:
            assert torch.equal(own, usual.encode((prompt,)).embeddings)


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        (UNET, {"cross_attention_dim": 24}, "text embeddings of width 24 and .* encoder gives 16"),
        (
            UNET,
            {"cross_attention_dim": [16, 32]},
            "width 16 and 32 and its text encoder gives 16",
        ),
        (UNET, {"encoder_hid_dim": 8}, "text embeddings of width 8"),
        (UNET, {"class_embed_type": "timestep"}, "wants to be told a class beside the prompt"),
        (UNET, {"num_class_embeds": 1000}, r"a class beside the prompt \(num_class_embeds is 1000"),
        (UNET, {"in_channels": 8, "out_channels": 8}, "latents of 8 channels and its VAE gives 4"),
        (UNET, {"addition_embed_type": "text_time"}, "is not of a Stable Diffusion 1"),
        (UNET, {"encoder_hid_dim_type": "image_proj", "encoder_hid_dim": 16}, "shown an image"),
        (UNET, {"time_cond_proj_dim": 256}, "a latent consistency model's"),
        (VAE, {"latent_channels": 16}, "latents of 4 channels and its VAE gives 16"),
        (VAE, {"in_channels": 4, "out_channels": 4}, "of images of 4 channels"),
        (TEXT, {"hidden_size": 32}, "width 16 and its text encoder gives 32"),
        (TEXT, {"vocab_size": 100}, r"its tokenizer has 190 tokens .* text_encoder embeds 100"),
    ],
)
def test_parts_that_do_not_fit_are_told_in_one_line(
    file: str, changes: dict[str, Any], told: str, model_copy: Path
) -> None:
    change(model_copy / file, **changes)
    with pytest.raises(UsageError, match=told) as error:
        load_checkpoint(str(model_copy), device="cpu")
    assert str(error.value).startswith(f"--model {model_copy}: its ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "changes", "told"),
    [
        (UNET, {"cross_attention_dim": 16}, "width 16 and its text encoder gives 40"),
        (UNET, {"addition_embed_type": None}, "is not of an SDXL"),
        (UNET, {"addition_time_embed_dim": 16}, "takes 72 features beside the prompt .* make 120"),
        ("text_encoder_2/config.json", {"projection_dim": 8}, "takes 72 features .* make 56"),
        (TEXT, {"max_position_embeddings": 16}, "take 16 and 24 tokens"),
    ],
)
def test_parts_of_an_sdxl_that_do_not_fit(
    file: str, changes: dict[str, Any], told: str, sdxl_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(sdxl_folder, tmp_path / "xl")
    change(folder / file, **changes)
    with pytest.raises(UsageError, match=told):
        load_checkpoint(str(folder), device="cpu")


def test_a_token_without_an_embedding_is_refused(model_copy: Path) -> None:
    """As textual inversion leaves it, where the embedding was not made longer."""
    tokens = model_copy / "tokenizer" / "tokenizer.json"
    told = json.loads(tokens.read_text())
    added = {**told["added_tokens"][-1], "id": 190, "content": "<my-cat>"}
    tokens.write_text(json.dumps(told | {"added_tokens": [*told["added_tokens"], added]}))
    with pytest.raises(UsageError, match="its tokenizer has 191 tokens and its text_encoder"):
        load_checkpoint(str(model_copy), device="cpu")


KIN = ("Inpaint", "InpaintLegacy", "Img2Img", "ControlNet", "ControlNetInpaint", "Adapter", "SAG")


@pytest.mark.parametrize("task", KIN)
@pytest.mark.parametrize("hub", [False, True])
def test_another_task_s_pipeline_with_the_same_parts_is_taken(
    task: str, hub: bool, model_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = locate(str(model_copy)).digest
    change(model_copy / "model_index.json", _class_name=f"StableDiffusion{task}Pipeline")
    model = str(model_copy)
    if hub:
        fill_cache(tmp_path / "cache", "me/model", model_copy, monkeypatch)
        model = "me/model"
    assert locate(model).digest == plain
    change(model_copy / UNET, in_channels=9)
    with pytest.raises(UsageError, match="takes 9 channels"):
        locate(str(model_copy))


def test_another_task_s_pipeline_of_sdxl_is_taken(sdxl_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sdxl_folder, tmp_path / "xl")
    change(folder / "model_index.json", _class_name="StableDiffusionXLInpaintPipeline")
    assert locate(str(folder)).architecture.name == "sdxl"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("StableDiffusionXLInpaintPipeline", {}),
        ("StableDiffusion3InpaintPipeline", {}),
        ("FlaxStableDiffusionPipeline", {"unet": ["diffusers", "FlaxUNet2DConditionModel"]}),
        ("OnnxStableDiffusionPipeline", {"unet": ["diffusers", "OnnxRuntimeModel"]}),
        ("StableDiffusionImageVariationPipeline", {"text_encoder": [None, None]}),
        ("LatentConsistencyModelPipeline", {}),
        (["evil", "StableDiffusionPipeline"], {}),
        (None, {}),
    ],
)
def test_pipelines_with_other_parts_are_refused(
    name: Any, parts: dict[str, Any], model_copy: Path
) -> None:
    change(model_copy / "model_index.json", _class_name=name, **parts)
    with pytest.raises(UsageError, match="is not supported; expunge erases from"):
        locate(str(model_copy))
