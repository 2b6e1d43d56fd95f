"""The erased UNet as a folder that plain diffusers opens."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from erase.tensor_file import write_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"


def write_unet(unet: UNet2DConditionModel, folder: Path, metadata: Mapping[str, str]) -> None:
    """Write config.json and the weights, as they are, whole or not at all.

    `UNet2DConditionModel.from_pretrained(folder)` gives bit-equal weights. `metadata` goes into the
    safetensors header, where user interfaces look for `modelspec.*`.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    config = json.loads(unet.to_json_string())
    # Where the model lay on the machine that erased it is nobody's business.
    config.pop("_name_or_path", None)
    (partial / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    write_tensors(partial / WEIGHTS, unet.state_dict(), {"format": "pt", **metadata})
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
