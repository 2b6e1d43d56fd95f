"""Forget and retain sets: drawn or read, encoded, cached by everything they depend on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from erase.image_sets.captioned_folder import read_captions
from erase.image_sets.datasets import RetainSet, add_relabels, draw_set, read_set
from erase.image_sets.drawing import Drawing
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from plumbing.errors import UsageError

DRAWING = Drawing(sampler="ddim", steps=2, guidance_scale=3.0, batch_size=2)
PROMPTS = ("a church", "a dog")


def draw(sd: Bundle, cache: Path, drawing: Drawing = DRAWING, seed: int = 0) -> RetainSet:
    """Three images of two prompts."""
    return draw_set(sd, PROMPTS, 3, seed=seed, role="retain", drawing=drawing, cache=cache)


def save_images(folder: Path, count: int) -> None:
    """Random oblong images, captioned by text files."""
    folder.mkdir()
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(PROMPTS[i % 2])


def test_prompts_take_turns_and_tensors_fit(tiny: Bundle, tmp_path: Path) -> None:
    images = draw(tiny, tmp_path)
    assert all_of(images).shape == (3, 2, 4, 8, 8)
    assert images.prompt_index.tolist() == [0, 1, 0]
    assert images.prompts == PROMPTS
    assert images.conditioning[torch.tensor([1, 0])].embeddings.shape == (2, 24, 16)
    assert not torch.equal(*images.posterior[torch.tensor([0, 2])])


def all_of(images: RetainSet) -> torch.Tensor:
    """Every row of a set."""
    return images.posterior[torch.arange(len(images))]


def test_the_cache_is_used_and_gives_the_same(tiny: Bundle, tmp_path: Path) -> None:
    first = all_of(draw(tiny, tmp_path))
    files = sorted(tmp_path.glob("*/*/*"))
    assert [file.parent.name for file in files] == ["embeddings", "images", "images"]
    written = [file.stat().st_mtime_ns for file in files]
    again = all_of(draw(tiny, tmp_path))
    assert [file.stat().st_mtime_ns for file in files] == written
    assert torch.equal(first, again)
    for file in files:
        data = file.read_bytes()
        for damaged in (b"damaged", data[:-100], data[:-300] + b"x" + data[-299:]):
            file.write_bytes(damaged)
            assert torch.equal(all_of(draw(tiny, tmp_path)), first)
            assert file.read_bytes() == data


def test_a_set_of_an_older_version_is_told_of_and_drawn_anew(
    tiny: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "retain-0123456789abcdef.safetensors"
    old.touch()
    for _ in range(2):
        draw(tiny, tmp_path)
    assert caplog.text.count(f"{old} is of an older version") == 1


def test_the_cache_key_covers_what_the_images_depend_on(
    tiny: Bundle, other_model_folder: Path, tmp_path: Path
) -> None:
    draw(tiny, tmp_path)
    for drawing in (
        replace(DRAWING, steps=3),
        replace(DRAWING, guidance_scale=4.0),
        replace(DRAWING, sampler="pndm"),
        replace(DRAWING, batch_size=3),
        replace(DRAWING, dtype=torch.bfloat16),
    ):
        draw(tiny, tmp_path, drawing)
    draw(tiny, tmp_path, seed=1)
    draw(load_checkpoint(str(other_model_folder), device="cpu"), tmp_path)
    assert len(list(tmp_path.iterdir())) == 8


def test_images_come_from_a_folder(tiny: Bundle, tmp_path: Path) -> None:
    save_images(tmp_path / "images", 3)
    captions = read_captions(tmp_path / "images", "--retain-data")
    images = read_set(
        tiny, captions, flag="--retain-data", role="retain", cache=tmp_path / "cache", batch_size=2
    )
    assert all_of(images).shape == (3, 2, 4, 8, 8)
    assert images.prompt_index.tolist() == [0, 1, 0]


def test_metadata_jsonl_comes_first(tmp_path: Path) -> None:
    save_images(tmp_path / "images", 2)
    row = {"file_name": "1.png", "text": "a church by night"}
    (tmp_path / "images" / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    captions = read_captions(tmp_path / "images", "--forget-data")
    assert captions == {tmp_path / "images" / "1.png": "a church by night"}


def test_unusable_folders_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--forget-data .*no such folder"):
        read_captions(tmp_path / "absent", "--forget-data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no image"):
        read_captions(tmp_path / "empty", "--forget-data")
    save_images(tmp_path / "images", 2)
    (tmp_path / "images" / "0.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"0\.png is not a readable image"):
        read_captions(tmp_path / "images", "--forget-data")
    (tmp_path / "images" / "1.txt").unlink()
    with pytest.raises(UsageError, match=r"1\.txt is missing"):
        read_captions(tmp_path / "images", "--forget-data")
    (tmp_path / "images" / "metadata.jsonl").write_text('{"file": "0.png"}\n')
    with pytest.raises(UsageError, match=r"line 1: is not a \{\"file_name\""):
        read_captions(tmp_path / "images", "--forget-data")


def test_each_prompt_has_its_own_relabels(tiny: Bundle, tmp_path: Path) -> None:
    candidates = {"a church": ("a dog", "a tree"), "a dog": ("a tree",)}
    forget = add_relabels(tiny, draw(tiny, tmp_path), candidates.__getitem__)
    assert forget.relabel_prompts == ("a dog", "a tree")
    assert [choices.tolist() for choices in forget.relabel_choices] == [[0, 1], [1]]
    assert forget.relabel_conditioning.embeddings.shape == (2, 24, 16)
