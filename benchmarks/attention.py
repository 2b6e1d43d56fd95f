"""What attention costs when a UNet is trained on a CPU: the fused kernel against the plain one.

    python -m benchmarks.attention [--model miniature]

Forward and backward of one batch of 32, in turns, the fastest of several; prints the ratio.
"""

import json
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import tyro
from torch.nn.attention import SDPBackend, sdpa_kernel

from erase.checkpoint import load_checkpoint, resolve_dtype
from erase.conditioning import encode_prompts
from erase.diffusion import autocast, predict


@dataclass(frozen=True)
class Options:
    """What to time."""

    model: str = "miniature"
    """The model whose UNet is timed."""
    batch_size: int = 32
    """Images in a pass."""
    turns: int = 5
    """Passes of each kernel; the fastest counts."""
    dtype: str = "auto"
    """As `expunge erase --dtype`."""


def main(options: Options) -> None:
    """Print milliseconds of forward and backward with each kernel, and their ratio."""
    sd = load_checkpoint(options.model, device="cpu", dtype="float32")
    dtype = resolve_dtype(options.dtype, torch.device("cpu"))
    size = sd.unet.config["sample_size"]
    latents = torch.randn(options.batch_size, sd.unet.config["in_channels"], size, size)
    timesteps = torch.randint(1000, (options.batch_size,))
    conditioning = encode_prompts(sd, ("a church",) * options.batch_size)

    def run(kernel: AbstractContextManager[object]) -> tuple[float, float]:
        started = time.perf_counter()
        with autocast(sd.unet.device, dtype), kernel:
            loss = predict(sd.unet, latents, timesteps, conditioning).square().mean()
        middle = time.perf_counter()
        loss.backward()
        return middle - started, time.perf_counter() - middle

    best = {}
    for _ in range(options.turns):
        for name in ("fused", "plain"):
            times = run(nullcontext() if name == "fused" else sdpa_kernel(SDPBackend.MATH))
            best[name] = min(times, best.get(name, times), key=sum)
    result = {
        name: {"forward_ms": round(1e3 * forward), "backward_ms": round(1e3 * backward)}
        for name, (forward, backward) in best.items()
    }
    ratio = sum(best["fused"]) / sum(best["plain"])
    record = result | {"fused_to_plain": round(ratio, 2), "threads": torch.get_num_threads()}
    record |= {"dtype": str(dtype)[6:], "torch": torch.__version__}
    sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
