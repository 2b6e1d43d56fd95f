"""The erased denoiser, a UNet or a transformer, as a folder that plain diffusers opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erase.models.part_weights import RUN_WEIGHTS as WEIGHTS
from erase.tensors.weight_files import Computed, Weights
from erase.tensors.writing import write_checked
from plumbing.whole_files import whole


def write_denoiser(
    weights: Computed | Weights,
    config: Mapping[str, Any],
    folder: Path,
    metadata: Mapping[str, str],
) -> None:
    """Write config.json and the weights whole or not at all, in the place of what was there.

    diffusers' `from_pretrained(folder)` gives bit-equal weights. `metadata` goes into the
    safetensors header, where user interfaces look for `modelspec.*`.
    """
    with whole(folder) as partial:
        write_denoiser_files(weights, config, partial, metadata)


def write_denoiser_files(
    weights: Computed | Weights,
    config: Mapping[str, Any],
    folder: Path,
    metadata: Mapping[str, str],
) -> None:
    """Write the two files, and read the weights again.

    `folder` must not exist, and is left half-written if something fails: the caller gives a
    temporary name. A file that reads back otherwise is a UsageError.
    """
    folder.mkdir(parents=True)
    _write_config(config, folder)
    # The frameworks' readers refuse a file that does not tell whose it is.
    metadata = {"format": "pt", **metadata}
    write_checked(folder / WEIGHTS, weights, metadata)


def _write_config(config: Mapping[str, Any], folder: Path) -> None:
    # Where the model lay on the machine that erased it is nobody's business.
    known = {key: value for key, value in config.items() if key != "_name_or_path"}
    text = json.dumps(known, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
