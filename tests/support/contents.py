"""Files as people have them: weights under any name, and what was saved in their place."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

TENSORS = {"a.weight": torch.arange(600.0).view(20, 30), "b.bias": torch.ones(7).half()}
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".SAFETENSORS", ".part", "")


def pickled(content: Any, *, in_zip: bool = True) -> bytes:
    """As torch saves it, now or before its version 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=in_zip)
    return file.getvalue()


def zipped(*names: str) -> bytes:
    """A zip archive of small files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return file.getvalue()


def weights(tensors: Mapping[str, Tensor] = TENSORS) -> dict[str, bytes]:
    """The same weights in every kind of file that is read."""
    held = dict(tensors)
    return {
        "safetensors": save(held),
        "zip": pickled(held),
        "legacy": pickled(held, in_zip=False),
        "state dict": pickled({"state_dict": held, "epoch": 3, "optimizer_states": [{}]}),
        "one entry": pickled({"model": held}),
    }


FP8 = {"x.weight": torch.ones(8, 8).to(torch.float8_e4m3fn)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 3438\n"
OTHERS: dict[str, tuple[bytes, str]] = {
    "lfs": (LFS, r"a Git LFS pointer.*git lfs pull"),
    "page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", r"a web page \(Sign in\)"),
    "answer": (
        b'{"error":"Unauthorized","message":"log in to download"}',
        r"server's answer \(log in to download\).*API key",
    ),
    "nested answer": (b'{"error": {"message": "no \\u001b[2J"}}', r"server's answer \(no .\[2J\)"),
    "not found": (b"Entry not found", r"a text \(Entry not found\)"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML text .*AccessDenied"),
    "index": (b'{"metadata": {}, "weight_map": {"a": "b"}}', "the index of a model's shards"),
    "config": (b'{"_class_name": "UNet2DConditionModel"}', "a model's config"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(50), "a GGUF file"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(50), "an ONNX model"),
    "tensorrt": (b"ftrt" + bytes(90), "a TensorRT engine"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(50), "a 7z archive.*unpack"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(50), "a RAR archive.*unpack"),
    "zip": (zipped("model/model_index.json"), "a zip archive.*unpack"),
    "script": (zipped("x/data.pkl", "x/constants.pkl", "x/code/a.py"), "a TorchScript program"),
    "numpy": (zipped("a.npy"), "a NumPy archive"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
    "fp8": (save(FP8), r"weights in fp8 \(F8_E4M3\).*fp16"),
    "scaled fp8": (save({**FP8, "x.scale_weight": torch.ones(1)}), r"fp8 \(F8_E4M3\) with scales"),
    "pickled fp8": (pickled(FP8), "weights in fp8 "),
    "fp8 e5m2": (save({"x": torch.ones(3).to(torch.float8_e5m2)}), r"fp8 \(F8_E5M2\)"),
    "embedding": (
        pickled({"string_to_token": {"*": torch.ones(1)}, "string_to_param": {"*": TENSORS}}),
        "an embedding",
    ),
    "hypernetwork": (pickled({768: [TENSORS], "step": 9, "name": "x"}), "a hypernetwork"),
    "training": (pickled({"model": TENSORS, "optimizer": {"state": {}}}), "state of a training"),
    "several": (pickled({"unet": TENSORS, "text_encoder": TENSORS}), r"\(unet, text_encoder\)"),
    "module": (pickled(torch.nn.Linear(2, 2)), "names torch.nn.modules.linear.Linear"),
}
"""What is no weights that can be read: its bytes, and what is to be said of it."""


def cut(content: bytes) -> list[bytes]:
    """What is left of a file whose download stopped, at its beginning, its header and its end."""
    return [content[:n] for n in (0, 9, 60, len(content) // 2, len(content) - 1)]
