"""Strangers' weights: headers that lie, names that are paths, numbers that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.erased_runs import erase
from support.files import tree
from support.single_files import configs_of, ldm_tensors, save_single
from support.strangers import UNET, refused

from erase.tensors.pickles import read_pickle
from erase.tensors.weight_files import Weights
from expunge.cli import main


def _header(text: str, data: bytes = bytes(64), length: int | None = None) -> bytes:
    told = len(text.encode()) if length is None else length
    return told.to_bytes(8, "little") + text.encode() + data


def _tensor(start: int, end: int, *shape: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


HEADERS = {
    "longer than the file": _header("{}", length=1 << 20),
    "of 2^63 bytes": _header("{}", length=1 << 63),
    "no JSON": _header("{" * 50_000),
    "a name twice": _header('{"a":%s,"a":%s}' % ((json.dumps(_tensor(0, 64, 16)),) * 2)),
    "overlapping": _header(json.dumps({"a": _tensor(0, 40, 10), "b": _tensor(24, 64, 10)})),
    "out of the file": _header(json.dumps({"a": _tensor(0, 1 << 40, 1 << 38)})),
    "an absurd shape": _header(json.dumps({"a": _tensor(0, 64, 1 << 62, 1 << 62)})),
    "a shape that does not fit": _header(json.dumps({"a": _tensor(0, 64, 17)})),
    "an escape sequence": _header(json.dumps({"a\x1b[2J": _tensor(0, 64, 16)})),
    "empty": b"",
}


@pytest.mark.parametrize("what", sorted(HEADERS))
def test_headers_that_lie_are_refused_everywhere(
    what: str, model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(HEADERS[what])
    before = tree(tmp_path)
    out = ["--out", str(tmp_path / "out"), "--model", str(model_copy)]
    for words in (
        ["erase", "church", "--model", str(bad)],
        ["erase", "church", "--mask", str(bad), *out],
        ["apply", str(bad), "--model", str(model_copy), "--to", str(tmp_path / "made")],
        ["verify", str(bad)],
    ):
        refused(words, "bad.safetensors", capsys)
    (model_copy / f"{UNET}.safetensors").write_bytes(HEADERS[what])
    refused(
        ["evaluate", "concept", str(model_copy), "--concept", "church", *out[:2]], "unet", capsys
    )
    (model_copy / f"{UNET}.safetensors").write_bytes(before[f"model/{UNET}.safetensors"])
    assert tree(tmp_path) == before


def test_names_that_are_paths_stay_names(model_folder: Path, tmp_path: Path) -> None:
    """In a single file a tensor of any name is copied along, and no path is made of it."""
    tensors = ldm_tensors(model_folder) | {"../../escaped": torch.ones(2), "/abs": torch.ones(2)}
    base = save_single(tmp_path / "in" / "base.safetensors", tensors)
    configs = configs_of(model_folder, tmp_path / "configs")
    run = erase(base, tmp_path / "in" / "run", "--config", str(configs))
    made = tmp_path / "in" / "made.safetensors"
    assert main(["export", str(run), "--format", "single-file", "--to", str(made)]) == 0
    assert "../../escaped" in Weights([made]).specs
    assert {path.name for path in tmp_path.iterdir()} == {"in", "configs"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    value: float, model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(model_copy / f"{UNET}.safetensors")
    weights["conv_in.weight"][0, 0, 0, 0] = value
    save_file(weights, model_copy / f"{UNET}.safetensors", {"format": "pt"})
    out = str(tmp_path / "out")
    told = "conv_in.weight holds NaN or infinity"
    refused(["erase", "church", "--model", str(model_copy), "--out", out], told, capsys)
    assert not Path(out).exists()


def test_pickles_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["state_dict"] = loop
    one = torch.ones(1)
    for content, told in (
        ({"a": one.expand(10**12)}, "larger than its file"),
        ({f"a{n}": torch.ones(999).as_strided((900,), (1,)) for n in range(3)}, None),
        ({f"a{n}": one.expand(100) for n in range(200)}, "larger than"),
        ({"a": torch.ones(3).to_sparse()}, "no plain tensor"),
        ({"a": torch.empty(10**12, device="meta")}, "no plain tensor"),
        (loop, "state_dict is a dict"),
    ):
        torch.save(content, tmp_path / "x.bin")
        if told is None:
            assert len(read_pickle(tmp_path / "x.bin")) == 3
            continue
        with pytest.raises(ValueError, match=told):
            read_pickle(tmp_path / "x.bin")
