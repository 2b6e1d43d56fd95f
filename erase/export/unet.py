"""The erased UNet as a folder that plain diffusers opens."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from erase.tensor_file import write_tensors
from erase.tensor_stream import require_written, stream_tensors
from erase.weights import Computed, Weights

WEIGHTS = "diffusion_pytorch_model.safetensors"


def write_unet(unet: UNet2DConditionModel, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write config.json and the weights, as they are, whole or not at all.

    `UNet2DConditionModel.from_pretrained(folder)` gives bit-equal weights. `metadata` goes into the
    safetensors header, where user interfaces look for `modelspec.*`.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write_config(json.loads(unet.to_json_string()), partial)
    write_tensors(partial / WEIGHTS, unet.state_dict(), {"format": "pt", **metadata})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def write_unet_files(
    weights: Computed | Weights,
    config: Mapping[str, Any],
    folder: Path,
    metadata: Mapping[str, str],
) -> None:
    """Write the same two files from weights that no model holds, and read them again.

    `folder` must not exist, and is left half-written if something fails: the caller gives a
    temporary name. A file that reads back otherwise is a UsageError.
    """
    folder.mkdir(parents=True)
    _write_config(config, folder)
    # The frameworks' readers refuse a file that does not tell whose it is.
    metadata = {"format": "pt", **metadata}
    stream_tensors(folder / WEIGHTS, weights, metadata)
    require_written(folder / WEIGHTS, weights, metadata)


def _write_config(config: Mapping[str, Any], folder: Path) -> None:
    # Where the model lay on the machine that erased it is nobody's business.
    known = {key: value for key, value in config.items() if key != "_name_or_path"}
    text = json.dumps(known, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
