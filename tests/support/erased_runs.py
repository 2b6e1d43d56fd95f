"""Real short erasures of the tiny model, and where their weights lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.cli import main
from expunge.exports.export import export_run
from expunge.parsing import parse

SHORT = (
    "--forget-images 3 --retain-images 4 --inference-steps 2 --batch-size 2 --steps 2 --lr 1e-3 "
    # A tiny random model moves far at rates at which it moves at all.
    "--no-guard"
).split()
EraseOnce = Callable[..., Path]
"""`erase_once(*flags, model=…, concept=…)`: the fixture that makes a run once."""
MakeRun = Callable[..., Path]
"""`make_run(name, concept, shift)`: the fixture that writes a run without a training."""
UNET = "unet/diffusion_pytorch_model.safetensors"


def erase(model: Path, out: Path, *flags: str, concept: str = "church") -> Path:
    """`expunge erase` in two steps; the run folder."""
    where = ["--model", str(model), "--out", str(out)]
    assert main(["erase", concept, *where, *SHORT, *flags]) == 0
    return out


def bits_equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Names, types, shapes and every bit."""
    if {n: (t.dtype, t.shape) for n, t in first.items()} != {
        n: (t.dtype, t.shape) for n, t in second.items()
    }:
        return False
    return all(torch.equal(_bytes(t), _bytes(second[n])) for n, t in first.items())


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8)


def unet(folder: Path) -> dict[str, Tensor]:
    """The tensors of the UNet of a model's or run's folder."""
    return load_file(folder / UNET)


def make_delta(run: Path, to: Path, *flags: str) -> Path:
    """`expunge export` of a delta; its file."""
    assert main(["export", str(run), "--format", "delta", "--to", str(to), *flags]) == 0
    return to


def apply(model: Path, to: Path, *deltas: Path, flags: tuple[str, ...] = ()) -> int:
    """`expunge apply` of deltas to a model; the exit code."""
    words = ["--model", str(model), "--to", str(to), *flags]
    return main(["apply", *map(str, deltas), *words])


def undo(model: Path, to: Path, *deltas: Path) -> int:
    """`expunge undo` of deltas in a model; the exit code."""
    words = [word for path in deltas for word in ("--delta", str(path))]
    return main(["undo", str(model), "--to", str(to), *words])


def flip_lowest_bit(path: Path, name: str) -> None:
    """Flip the lowest bit of a float32 tensor's first weight."""
    weights = load_file(path)
    weights[name].reshape(-1).view(torch.int32)[0] ^= 1
    save_file(weights, path, metadata={"format": "pt"})


def export_lora(run: Path, to: Path, *flags: str) -> tuple[Path, dict[str, Any]]:
    """An export as a LoRA without a check; its file and what was told of it."""
    result = export_run(parse(("export",), [str(run), "--to", str(to), "--format", "lora", *flags]))
    return to, result
