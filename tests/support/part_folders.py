"""Folders of a part as hubs and disks have them: many weights beside each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Weights = Mapping[str, Tensor]
_PT = {"format": "pt"}


def filled(weights: Weights, value: float) -> dict[str, Tensor]:
    """The same names and shapes, every weight of one value, by which files are told apart."""
    return {name: torch.full_like(weight, value) for name, weight in weights.items()}


def _safe(weights: Weights, file: Path) -> None:
    save_file(dict(weights), file, metadata=_PT)


def _pickle(weights: Weights, file: Path) -> None:
    torch.save(dict(weights), file)


def save_shards(
    weights: Weights, index: Path, shard: str, save: Callable[[Weights, Path], None] = _safe
) -> None:
    """Two shards, named after `shard` with a number in it, and their index."""
    names = sorted(weights)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    where = {}
    for number, half in enumerate(halves, 1):
        file = shard.format(f"{number:05}-of-00002")
        save({name: weights[name].clone() for name in half}, index.parent / file)
        where |= dict.fromkeys(half, file)
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))


def ways(safe: str, pickle: str, *, oldest: bool) -> dict[str, Callable[[Weights, Path], None]]:
    """Each way in which weights lie in a folder, by its name; stems as a library has them."""
    dotted = {"": "", **{variant: f".{variant}" for variant in ("fp16", "non_ema", "ema")}}
    found: dict[str, Callable[[Weights, Path], None]] = {}
    for variant, dot in dotted.items():
        found |= {
            f"single {variant}": lambda w, at, dot=dot: _safe(w, at / f"{safe}{dot}.safetensors"),
            f"pickle {variant}": lambda w, at, dot=dot: _pickle(w, at / f"{pickle}{dot}.bin"),
            f"shards {variant}": lambda w, at, dot=dot: save_shards(
                w, at / f"{safe}.safetensors.index{dot}.json", f"{safe}{dot}-{{}}.safetensors"
            ),
            f"pickled shards {variant}": lambda w, at, dot=dot: save_shards(
                w, at / f"{pickle}.bin.index{dot}.json", f"{pickle}{dot}-{{}}.bin", _pickle
            ),
        }
    if oldest:
        found["oldest shards"] = lambda w, at: save_shards(
            w, at / f"{safe}.safetensors.fp16.index.json", f"{safe}-{{}}.fp16.safetensors"
        )
    for name in ("old_weights.safetensors", f"{safe} (1).safetensors", f"{safe}_ema.safetensors"):
        found[name] = lambda w, at, name=name: _safe(w, at / name)
    for name in ("flax_model.msgpack", "model.onnx", "openvino_model.bin", "tf_model.h5", "a.txt"):
        found[name] = lambda w, at, name=name: (at / name).write_bytes(b"other") and None
    found["pytorch_lora_weights.safetensors"] = lambda w, at: _safe(
        {"unet.x.lora_A.weight": next(iter(w.values())).clone()},
        at / "pytorch_lora_weights.safetensors",
    )
    found["index without shards"] = lambda w, at: (
        (at / f"{safe}.safetensors.index.bf16.json").write_text("{") and None
    )
    return found


def lay(folder: Path, weights: Weights, chosen: Iterable[tuple[float, Callable]]) -> None:
    """Put weights into a folder in each of the chosen ways, each with its own value."""
    for value, save in chosen:
        save(filled(weights, value), folder)
