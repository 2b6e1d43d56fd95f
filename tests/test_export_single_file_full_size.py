"""Full-size architectures with random weights: diffusers to single file and back, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open
from support.single_files import require_equal_xl
from support.tiny_models import make_scheduler, make_tokenizer
from support.unet_configs import SD1, SD2, SDXL
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate
from erase.models.single_file.parts import load_part
from erase.models.single_file.recognise import open_single_file
from erase.models.single_file.unet_keys import UNET_PREFIX
from erase.run_folder.folder import write_values
from erase.tensors.weight_files import Weights

Config = dict[str, Any]
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
VAE_XL = VAE | {"sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
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
TEXT_BIG = TEXT | {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
XL_TEXTS = {
    "conditioner.embedders.0.transformer.": 197,
    "conditioner.embedders.1.model.": 32 * 12 + 5,
}
SMALL_UNET = SD1 | {"block_out_channels": (32, 64, 128, 128), "norm_num_groups": 8}
SMALL_VAE = VAE | {"block_out_channels": (8, 16, 32, 32), "norm_num_groups": 4}
SMALL_TEXT = {"hidden_size": 768, "intermediate_size": 64, "num_hidden_layers": 12}
SMALL_TEXT_1 = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
SMALL_BIG = {"hidden_size": 40, "intermediate_size": 80, "num_attention_heads": 4}
SMALL_BIG |= {"projection_dim": 24}
SMALL_XL = SDXL | {
    "block_out_channels": (32, 64, 128),
    "norm_num_groups": 8,
    "cross_attention_dim": 32 + 40,
    "projection_class_embeddings_input_dim": 6 * 256 + 24,
    "attention_head_dim": (2, 4, 8),
}
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


def save_full(folder: Path, unet: Config, vae: Config, *texts: Config) -> None:
    """An SD 1 or 2, or of two text encoders an SDXL."""
    parts: dict[str, Any] = {
        "vae": half(AutoencoderKL, **vae),
        "text_encoder": half(CLIPTextModel, CLIPTextConfig(**texts[0])),
        "tokenizer": make_tokenizer(),
        "unet": half(UNet2DConditionModel, **unet),
        "scheduler": make_scheduler("epsilon"),
    }
    if len(texts) == 2:
        parts |= {
            "text_encoder_2": half(CLIPTextModelWithProjection, CLIPTextConfig(**texts[1])),
            "tokenizer_2": make_tokenizer(),
        }
        pipeline = StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        parts |= {"safety_checker": None, "feature_extractor": None}
        pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder)


def save_changed_run(base: Path, run: Path, *, wide: bool = True) -> None:
    """A finished run whose UNet, in float32 if `wide`, has one tensor of three changed."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float16)
    for tensor in list(unet.state_dict().values())[::3]:
        tensor.neg_()
    (unet.float() if wide else unet).save_pretrained(run / "unet")
    source = locate(str(base))
    write_values(
        run,
        {
            "command": "erase",
            "concepts": ["church"],
            "base": source.record(),
            "finished": "2026-01-01",
        },
    )


def require_round_trip(folder: Path, tmp_path: Path, *, unet: int, texts: dict[str, int]) -> Path:
    """Export, measured in a process of its own; then load, part by part the run's own bits."""
    run, to = tmp_path / "run", tmp_path / "erased.safetensors"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(run), str(to)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    peak, start = map(int, done.stdout.split()[-2:])
    size, took = to.stat().st_size, time.monotonic() - began
    print(f"file {size:,} bytes; held {start:,} before, {peak:,} at most; {took:.0f} s")  # noqa: T201
    assert peak - start < size
    with safe_open(to, framework="pt") as opened:
        names = list(opened.keys())
    prefixes = {UNET_PREFIX: unet, "first_stage_model.": 248, **texts}
    counts = {prefix: sum(name.startswith(prefix) for name in names) for prefix in prefixes}
    print(f"{len(names)} tensors: {counts}")  # noqa: T201
    assert counts == prefixes and sum(counts.values()) == len(names)
    file = open_single_file(to, config=folder)
    for part in ("unet", "vae", *file.family.text):
        # The whole of one part in memory, and one tensor of what it is compared with.
        weights = Weights(list(((run if part == "unet" else folder) / part).glob("*.safetensors")))
        found = load_part(file, part, torch.float16).state_dict()
        assert found.keys() == weights.keys()
        for name, tensor in found.items():
            assert torch.equal(tensor, weights[name].half()), f"{part} {name}"
    return to


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unet", "texts", "keys", "prefixes"),
    [
        (SD1, (TEXT_1,), 686, {"cond_stage_model.transformer.": 197}),
        (SD2, (TEXT_2,), 686, {"cond_stage_model.model.": 4 + 23 * 12}),
        (SDXL, (TEXT_1, TEXT_BIG), 1680, XL_TEXTS),
    ],
    ids=["SD 1.5", "SD 2.1", "SDXL"],
)
def test_full_size(
    unet: Config, texts: tuple[Config, ...], keys: int, prefixes: dict[str, int], tmp_path: Path
) -> None:
    """Keys as in v1-5-pruned-emaonly.safetensors, 686 + 248 + 197, and sd_xl_base_1.0.safetensors.

    The latter has 1680 + 248 + 197 + 390, the last with the scale that folders do not have. Shown
    by -s: what the export held. Takes some 10 GB of memory, and 12 of disk or, for SDXL, 20.
    """
    vae, base = (VAE_XL if unet is SDXL else VAE), tmp_path / "base"
    save_full(base, unet, vae, *texts)
    # A larger UNet in float32 would take the disk.
    save_changed_run(base, tmp_path / "run", wide=unet is not SDXL)
    require_round_trip(base, tmp_path, unet=keys, texts=prefixes)


def test_the_same_in_small(tmp_path: Path) -> None:
    """All blocks of an SD 1.5, a few channels each."""
    text = TEXT_1 | SMALL_TEXT | {"vocab_size": 200}
    save_full(tmp_path / "base", SMALL_UNET, SMALL_VAE, text)
    save_changed_run(tmp_path / "base", tmp_path / "run")
    texts = {"cond_stage_model.transformer.": 197}
    require_round_trip(tmp_path / "base", tmp_path, unet=686, texts=texts)


def test_an_sdxl_in_small_is_what_diffusers_reads(tmp_path: Path) -> None:
    """All blocks of an SDXL and all layers of its text encoders, a few channels each."""
    base, words = tmp_path / "base", {"vocab_size": 200}
    save_full(
        base, SMALL_XL, SMALL_VAE, TEXT_1 | SMALL_TEXT_1 | words, TEXT_BIG | SMALL_BIG | words
    )
    save_changed_run(base, tmp_path / "run")
    to = require_round_trip(base, tmp_path, unet=1680, texts=XL_TEXTS)
    ours = load_checkpoint(str(to), config=base, device="cpu")
    theirs = StableDiffusionXLPipeline.from_single_file(
        str(to), config=str(base), local_files_only=True
    )
    require_equal_xl(ours, theirs)
