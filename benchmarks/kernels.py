"""What torch's bfloat16 kernels cost in the backward pass on a CPU, and what replaces them.

    python -m benchmarks.kernels

Attention and convolutions of the shapes that SD 1.5 has at 512 px (2 images) and the miniature
(32): milliseconds of forward and backward, torch's own against
erase/diffusion/cpu_kernels.py, in turns, the quickest of
several. `taken` says which one a training uses.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor

from benchmarks.common import table
from benchmarks.machine import machine
from erase.diffusion.cpu_kernels import MATRIX, DeepConvolution
from plumbing.whole_files import replace_file

ATTENTION = (
    *((2, 4096, 4096, 40), (2, 4096, 77, 40), (2, 1024, 1024, 80), (2, 1024, 77, 80)),
    *((2, 256, 256, 160), (2, 256, 77, 160), (2, 64, 64, 160), (32, 64, 64, 16)),
)
"""Images, queries, keys, width of a head; eight heads."""
CONVOLUTIONS = (
    *((2, 1280, 1280, 8), (2, 2560, 1280, 8), (2, 1280, 1280, 16), (2, 2560, 1280, 16)),
    *((2, 1280, 1280, 32), (2, 640, 640, 32), (2, 320, 320, 64), (16, 2560, 1280, 8)),
)
"""Images, channels in and out, side; 3x3."""
Pass = Callable[[], Tensor]


@dataclass(frozen=True)
class Options:
    """Flags."""

    turns: int = 4
    """Passes of each; the quickest counts."""
    out: Path = Path("runs/bench")
    """Folder of the table."""


def main(options: Options) -> None:
    """Print and write kernels.md."""
    rows = [_attention(*shape, options.turns) for shape in ATTENTION]
    rows += [_convolution(*shape, options.turns) for shape in CONVOLUTIONS]
    head = ["", "torch, ms: forward", "backward", "ours: forward", "backward", "ratio", "taken"]
    text = f"{machine()}\n\n{table(head, rows)}"
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / "kernels.md", text.encode())
    sys.stdout.write(text)


def _attention(images: int, queries: int, keys: int, width: int, turns: int) -> list[str]:
    attention = Attention(320, 768, heads=8, dim_head=width).to(torch.bfloat16)
    told = [
        torch.randn(images, tokens, channels, dtype=torch.bfloat16, requires_grad=True)
        for tokens, channels in ((queries, 320), (keys, 768))
    ]
    passes: list[Pass] = [
        partial(processor, attention, *told) for processor in (AttnProcessor2_0(), AttnProcessor())
    ]
    name = f"attention, {images} x {queries} x {keys}, width {width}"
    taken = queries * keys <= MATRIX
    return _row(name, passes, [*told, *attention.parameters()], taken, turns)


def _convolution(images: int, channels: int, outputs: int, side: int, turns: int) -> list[str]:
    x = torch.randn(images, channels, side, side, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(outputs, channels, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    bias = torch.zeros(outputs, dtype=torch.bfloat16, requires_grad=True)
    passes: list[Pass] = [
        partial(torch.conv2d, x, weight, bias, padding=1),
        partial(DeepConvolution.apply, x, weight, bias, (1, 1)),
    ]
    name = f"convolution, {images} x {channels} to {outputs}, {side}x{side}"
    return _row(name, passes, [x, weight, bias], images * side * side <= channels, turns)


def _row(name: str, passes: list[Pass], inputs: list[Tensor], taken: bool, turns: int) -> list[str]:
    best = [(float("inf"), 0.0)] * 2
    for _ in range(turns):
        best = [min(a, _time(p, inputs), key=sum) for a, p in zip(best, passes, strict=True)]
    cells = [f"{1e3 * seconds:.1f}" for pair in best for seconds in pair]
    ratio = sum(best[0]) / sum(best[1])
    return [name, *cells, f"{ratio:.1f}", "ours" if taken else "torch's"]


def _time(run: Pass, inputs: list[Tensor]) -> tuple[float, float]:
    """Seconds of forward and backward."""
    started = time.perf_counter()
    output = run()
    middle = time.perf_counter()
    torch.autograd.grad(output, inputs, torch.ones_like(output))
    return middle - started, time.perf_counter() - middle


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
