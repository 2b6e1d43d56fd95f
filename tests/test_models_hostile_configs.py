"""Strangers' folders: configs that ask for code or too much, and links that lead elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.erased_runs import erase
from support.strangers import CODE, REMOTE, UNET, change, refused

from expunge.cli import main

PARTS: list[tuple[str, dict[str, Any], str]] = [
    ("model_index.json", {"unet": ["evil", "Evil"]}, "could be code"),
    ("model_index.json", {"vae": ["diffusers", "a.b()"]}, "could be code"),
    ("model_index.json", {"_class_name": ["evil", "Evil"]}, "not supported"),
    ("model_index.json", {"../../x": ["diffusers", "UNet2DConditionModel"]}, "could be code"),
    ("unet/config.json", REMOTE, "asks for code"),
    ("text_encoder/config.json", {"quantization_config": {"a": 1}}, "quantised weights"),
    ("text_encoder/config.json", {"transformers_weights": "b.safetensors"}, "names a file to read"),
    ("text_encoder/config.json", {"_attn_implementation": "evil/kernels"}, "asks for code"),
    ("unet/config.json", {"block_out_channels": [10**6] * 40}, "block_out_channels has 40"),
    ("unet/config.json", {"layers_per_block": 10**9}, "layers_per_block is beyond"),
    ("unet/config.json", {"cross_attention_dim": 10**12}, "beyond all sense"),
    ("unet/config.json", {"sample_size": 10**6}, "sample_size is beyond"),
    ("vae/config.json", {"latent_channels": 10**30}, "beyond all sense"),
    ("text_encoder/config.json", {"vocab_size": 10**6}, "asks for 16,"),
    ("text_encoder/config.json", {"num_hidden_layers": 10**5}, "beyond all sense"),
    ("scheduler/scheduler_config.json", {"_class_name": "os"}, "is not a scheduler"),
    ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "beyond all sense"),
    ("judge/object/config.json", {"id2label": [3]}, "no labels of a judge"),
]


@pytest.mark.parametrize(("file", "values", "told"), PARTS)
def test_configs_that_ask_for_code_or_beyond_all_sense_are_refused(
    file: str,
    values: dict[str, Any],
    told: str,
    model_copy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(model_copy / file, **values)
    for name in ("evil.py", "pipeline.py", "unet/evil.py"):
        (model_copy / name).write_text(CODE.format(mark=str(tmp_path / "ran")))
    out = tmp_path / "out"
    refused(["erase", "church", "--model", str(model_copy), "--out", str(out)], told, capsys)
    assert not out.exists() and not (tmp_path / "ran").exists()


def test_deep_configs_are_refused(model_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model_copy / "unet" / "config.json").write_text("[" * 100_000)
    refused(["erase", "church", "--model", str(model_copy)], "too deeply nested", capsys)


def test_code_is_left_out_of_exports(model_copy: Path, tmp_path: Path) -> None:
    (model_copy / "pipeline.py").write_text("")
    (model_copy / "judge" / "evil.py").write_text("")
    run = erase(model_copy, tmp_path / "run")
    to = ["--format", "pipeline", "--to", str(tmp_path / "made")]
    assert main(["export", str(run), *to]) == 0
    assert not [path for path in (tmp_path / "made").rglob("*.py")]
    assert (tmp_path / "made" / "judge" / "object" / "config.json").is_file()


def test_links_and_shards_lead_nowhere(
    model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export would carry off what a link in a stranger's folder leads to."""
    (tmp_path / "secret").write_text("{}")
    link = model_copy / "tokenizer" / "more.json"
    link.symlink_to(tmp_path / "secret")
    words = ["erase", "church", "--model", str(model_copy)]
    refused(words, "leads out of the model's folder", capsys)
    link.unlink()
    index = model_copy / f"{UNET}.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.bias": "../../secret.safetensors"}}))
    refused(words, "names files outside the folder", capsys)
