"""Full-size architectures with random weights: diffusers to single file and back, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_scheduler, make_tokenizer
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from test_single_file_keys import SD1, SD2
from transformers import CLIPTextConfig, CLIPTextModel

from erase.checkpoint import load_checkpoint, locate
from erase.ldm_keys import UNET_PREFIX
from erase.run import write_run

VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
TEXT = {
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "bos_token_id": 188,
    "eos_token_id": 189,
}
TEXT_1 = TEXT | {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
TEXT_2 = TEXT | {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
}
SMALL_UNET = SD1 | {"block_out_channels": (32, 64, 128, 128), "norm_num_groups": 8}
SMALL_VAE = VAE | {"block_out_channels": (8, 16, 32, 32), "norm_num_groups": 4}
SMALL_TEXT = {"hidden_size": 768, "intermediate_size": 64, "num_hidden_layers": 12}
MEASURED = """
import re, sys, threading, time
from pathlib import Path
from erase.export.single_file import export_single_file

def held():
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", text)[1])

peak, start = 0, held()
def watch():
    global peak
    while True:
        peak = max(peak, held())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
export_single_file(Path(sys.argv[1]), Path(sys.argv[2]))
print(peak, start)
"""


def half(kind: Any, *words: Any, **settings: Any) -> Any:
    """A model with random weights in float16, which is made without the usual initialisation."""
    with torch.device("meta"):
        model = kind(*words, **settings)
    model = model.half().to_empty(device="cpu")
    # No two parts alike: a copy of a UNet's tensor anywhere else is refused.
    generator = torch.Generator().manual_seed(len(model.state_dict()))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            noise = torch.randint(-2000, 2000, tensor.shape, generator=generator, dtype=torch.int16)
            tensor.copy_(noise).mul_(1e-5)
    return model


def save_full(
    folder: Path, unet: dict[str, Any], vae: dict[str, Any], text: dict[str, Any]
) -> None:
    StableDiffusionPipeline(
        vae=half(AutoencoderKL, **vae),
        text_encoder=half(CLIPTextModel, CLIPTextConfig(**text)),
        tokenizer=make_tokenizer(),
        unet=half(UNet2DConditionModel, **unet),
        scheduler=make_scheduler("epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def save_changed_run(base: Path, run: Path) -> None:
    """A finished run whose UNet, in float32, differs from the base's in one tensor of three."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float16)
    for tensor in list(unet.state_dict().values())[::3]:
        tensor.neg_()
    unet.float().save_pretrained(run / "unet")
    source = locate(str(base))
    write_run(
        run,
        {
            "command": "erase",
            "concepts": ["church"],
            "base": source.record(),
            "finished": "2026-01-01",
        },
    )


def require_round_trip(folder: Path, tmp_path: Path, text: str, keys: int) -> None:
    """Export, measured in a process of its own; then load, part by part the run's own bits."""
    run, to = tmp_path / "run", tmp_path / "erased.safetensors"
    save_changed_run(folder, run)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(run), str(to)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    peak, start = map(int, done.stdout.split()[-2:])
    size = to.stat().st_size
    print(f"file {size:,} bytes; held {start:,} before, {peak:,} at most")  # noqa: T201
    assert peak - start < size
    with safe_open(to, framework="pt") as file:
        names = list(file.keys())
    assert sum(name.startswith(UNET_PREFIX) for name in names) == 686
    assert sum(name.startswith("first_stage_model.") for name in names) == 248
    assert sum(name.startswith(text) for name in names) == len(names) - 686 - 248 == keys
    again = load_checkpoint(str(to), config=folder, device="cpu", dtype="float16")
    whole = load_checkpoint(str(run), device="cpu", dtype="float16")
    for part in ("unet", "vae", "text_encoder"):
        weights = getattr(whole, part).state_dict()
        found = getattr(again, part).state_dict()
        assert found.keys() == weights.keys()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in found.items()), part


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unet", "text", "prefix", "keys"),
    [
        (SD1, TEXT_1, "cond_stage_model.transformer.", 197),
        (SD2, TEXT_2, "cond_stage_model.model.", 4 + 23 * 12),
    ],
    ids=["SD 1.5", "SD 2.1"],
)
def test_full_size(
    unet: dict[str, Any], text: dict[str, Any], prefix: str, keys: int, tmp_path: Path
) -> None:
    """Keys as in v1-5-pruned-emaonly.safetensors: 686 + 248 + 197.

    Shown by -s: what the export held. Takes some 10 GB of memory and 12 of disk.
    """
    save_full(tmp_path / "base", unet, VAE, text)
    require_round_trip(tmp_path / "base", tmp_path, prefix, keys)


def test_the_same_in_small(tmp_path: Path) -> None:
    """All blocks of an SD 1.5, a few channels each."""
    text = TEXT_1 | SMALL_TEXT | {"vocab_size": 200}
    save_full(tmp_path / "base", SMALL_UNET, SMALL_VAE, text)
    index = json.loads((tmp_path / "base" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    require_round_trip(tmp_path / "base", tmp_path, "cond_stage_model.transformer.", 197)
