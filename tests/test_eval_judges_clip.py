"""CLIP features of files and prompts, on a tiny random CLIPModel saved as a user's would be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from eval.judges.clip import Clip, load_clip
from plumbing.errors import UsageError

PIXELS, TOKENS, WIDTH = 16, 12, 6
PROMPTS = ["a", "a red apple", "a church", "church", "dog and cat and dog and cat and dog"]
TOWER = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": PIXELS},
    "crop_size": {"height": PIXELS, "width": PIXELS},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def spelling_tokenizer() -> CLIPTokenizer:
    letters = [chr(code) for code in range(97, 123)]
    tokens = [*letters, *(f"{x}</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=TOKENS)


def text_settings(tokenizer: CLIPTokenizer) -> dict[str, int]:
    return TOWER | {
        "num_attention_heads": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, tokenizer = tmp_path_factory.mktemp("model") / "clip", spelling_tokenizer()
    torch.manual_seed(0)
    vision = TOWER | {"num_attention_heads": 2, "image_size": PIXELS, "patch_size": 8}
    config = CLIPConfig(
        text_config=text_settings(tokenizer), vision_config=vision, projection_dim=WIDTH
    )
    CLIPModel(config).half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return out


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clip(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    sizes = [(16, 16), (16, 16), (40, 24), (24, 40), (7, 9)]
    paths = [out / f"{index}.png" for index in range(len(sizes))]
    for path, (width, height) in zip(paths, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return paths


def test_features_are_unit_vectors_in_float32(clip: Clip, images: list[Path]) -> None:
    for features in (clip.image_features(images), clip.text_features(PROMPTS)):
        assert (features.dtype, features.shape) == (np.float32, (5, WIDTH))
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
        assert len(np.unique(features.round(5), axis=0)) == 5


def test_features_do_not_hang_on_the_batch(clip: Clip, images: list[Path]) -> None:
    for embed, items in ((clip.image_features, images), (clip.text_features, PROMPTS)):
        whole = embed(items)  # type: ignore[arg-type]
        for size in (1, 2, 3):
            np.testing.assert_allclose(embed(items, batch_size=size), whole, atol=1e-6)  # type: ignore[arg-type]
        np.testing.assert_allclose(embed(items[::-1]), whole[::-1], atol=1e-6)  # type: ignore[arg-type]


def test_features_are_those_of_the_models_own_forward(
    clip: Clip, folder: Path, images: list[Path]
) -> None:
    """The 16x16 images need no resizing: pixels are 2 v / 255 - 1, worked out here by hand."""
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    arrays = [np.asarray(Image.open(path)) for path in images[:2]]
    pixels = torch.tensor(np.stack(arrays) / 127.5 - 1, dtype=torch.float32).permute(0, 3, 1, 2)
    tokens = spelling_tokenizer()(["a dog", "a cat"], return_tensors="pt")
    with torch.no_grad():
        output = model(pixel_values=pixels, **tokens)
    np.testing.assert_allclose(clip.image_features(images[:2]), output.image_embeds, atol=1e-5)
    np.testing.assert_allclose(
        clip.text_features(["a dog", "a cat"]), output.text_embeds, atol=1e-6
    )


def test_a_prompt_too_long_for_the_model_is_cut(clip: Clip) -> None:
    long = clip.text_features(["dog " * 50, "dog " * 60])
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)


def test_nothing_has_no_features(clip: Clip) -> None:
    assert clip.image_features([]).shape == clip.text_features([]).shape == (0, WIDTH)


def test_a_clip_knows_its_name_and_weights(clip: Clip, folder: Path) -> None:
    assert clip.name == "/".join(folder.parts[-2:])
    assert clip.sha256 == load_clip(folder).sha256
    assert all(p.dtype == torch.float32 for p in clip.model.parameters())
    assert not clip.model.training


def test_what_is_no_clip_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot open the CLIP model"):
        load_clip(tmp_path / "nowhere")
    half = tmp_path / "text"
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            (half / file.name).parent.mkdir(exist_ok=True)
            (half / file.name).write_bytes(file.read_bytes())
    config = CLIPTextConfig(**text_settings(spelling_tokenizer()))
    CLIPTextModel(config).save_pretrained(half)
    with pytest.raises(UsageError, match="no CLIP model but a CLIPText"):
        load_clip(half)


def test_a_clip_without_all_its_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    model = CLIPModel.from_pretrained(folder)
    kept = {k: v for k, v in model.state_dict().items() if k != "visual_projection.weight"}
    model.save_pretrained(broken, state_dict=kept)
    spelling_tokenizer().save_pretrained(broken)
    (broken / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    with pytest.raises(UsageError, match=r"lacks weights: visual_projection\.weight"):
        load_clip(broken)


def test_a_broken_image_is_refused(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"broken\.png is not a readable image"):
        clip.image_features([path])
