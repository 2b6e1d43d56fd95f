"""A LoRA as others load it: diffusers with PEFT draws what our own sum of base and LoRA does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.erased_runs import EraseOnce, apply, export_lora, unet

from erase.export.lora.names import DOWN, prefixes

DRAW = """
import json, sys, numpy, torch
from diffusers import StableDiffusionPipeline
for place, (model, lora) in json.loads(sys.argv[1]).items():
    pipeline = StableDiffusionPipeline.from_pretrained(model)
    if lora:
        pipeline.load_lora_weights(lora)
    noise = torch.Generator().manual_seed(7)
    image = pipeline("a church", num_inference_steps=3, generator=noise, output_type="np").images
    numpy.save(place, image)
assert not {"erase", "eval", "expunge", "plumbing", "prompts"} & set(sys.modules)
"""
WAYS = {
    "rank": ("--rank", "6", "--dtype", "fp32"),
    "energy": ("--energy", "0.8", "--dtype", "fp32"),
    "whole": ("--energy", "1", "--dtype", "fp32"),
    "half": (),
}
NAMINGS = ("diffusers", "kohya")


@dataclass(frozen=True)
class Drawn:
    """One LoRA and the image with it, in [0, 1], loaded by diffusers and added by us."""

    lora: Path
    theirs: np.ndarray
    ours: np.ndarray


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this module's files go."""
    return tmp_path_factory.mktemp("loras")


@pytest.fixture(scope="module")
def drawn(model_folder: Path, folder: Path, erase_once: EraseOnce) -> dict[tuple[str, str], Drawn]:
    """An image for every way and naming, all by one process that knows diffusers alone.

    The run changed weights of every kind, enough to see.
    """
    flags = ("--train-method", "full", "--lr", "1e-2", "--density", "1")
    run = erase_once(*flags)
    jobs: dict[Path, tuple[str, str | None]] = {folder / "original.npy": (str(model_folder), None)}
    for way, naming in product(WAYS, NAMINGS):
        place = folder / f"{way}-{naming}"
        path, _ = export_lora(run, place / "a.safetensors", "--naming", naming, *WAYS[way])
        assert apply(model_folder, place / "model", path) == 0
        jobs[place / "theirs.npy"] = (str(model_folder), str(path))
        jobs[place / "ours.npy"] = (str(place / "model"), None)
    words = json.dumps({str(place): job for place, job in jobs.items()})
    subprocess.run([sys.executable, "-c", DRAW, words], check=True)
    found = {}
    for way, naming in product(WAYS, NAMINGS):
        place = folder / f"{way}-{naming}"
        images = (np.load(place / f"{name}.npy") for name in ("theirs", "ours"))
        found[way, naming] = Drawn(place / "a.safetensors", *images)
    return found


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("way", ["rank", "energy", "whole"])
def test_a_script_with_diffusers_alone_draws_our_images(
    drawn: dict[tuple[str, str], Drawn], folder: Path, naming: str, way: str
) -> None:
    found = drawn[way, naming]
    downs = [t for n, t in load_file(found.lora).items() if n.endswith(tuple(DOWN.values()))]
    assert len({len(down) for down in downs}) > 1
    assert np.abs(found.theirs - found.ours).max() < 1e-4
    assert np.abs(np.load(folder / "original.npy") - found.ours).max() > 2e-2


@pytest.mark.parametrize("naming", NAMINGS)
def test_so_it_does_in_half_precision(drawn: dict[tuple[str, str], Drawn], naming: str) -> None:
    found = drawn["half", naming]
    assert {t.dtype for n, t in load_file(found.lora).items() if "alpha" not in n} == {torch.half}
    assert np.abs(found.theirs - found.ours).max() < 2e-3


def test_kohya_names_of_sd1_are_diffusers_modules(model_folder: Path) -> None:
    names = [name for name, weight in unet(model_folder).items() if weight.ndim in (2, 4)]
    for name, prefix in prefixes("kohya", names, {"addition_embed_type": None}).items():
        assert prefix == "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
