"""How `expunge erase` would train on cards of several sizes: the plan, its estimate, nothing run.

    python -m benchmarks.cards

For batches of 8 + 8 and 16 + 16, bfloat16, a frozen teacher, 100 steps. What is free is taken to be
1 GB less than the card has. The mask, which comes first, is not part of it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from benchmarks.common import table
from benchmarks.configs import CONFIGS
from erase.models.architectures.known import architecture_of
from erase.training.memory import plan_training
from plumbing.errors import UsageError
from plumbing.whole_files import replace_file


@dataclass(frozen=True)
class Options:
    """Flags."""

    gigabytes: tuple[int, ...] = (8, 12, 16, 24, 48, 80)
    """Sizes of the cards."""
    density: float = 0.5
    """Share of the trainable weights that change."""
    out: Path = Path("runs/bench")
    """Folder of the table."""


def main(options: Options) -> None:
    """Print and write cards.md."""
    rows = []
    for size in ("sd15", "sdxl"):
        for method in ("full", "xattn"):
            for batch in (8, 16):
                cells = [_cell(size, method, batch, gb, options) for gb in options.gigabytes]
                rows.append([size, method, f"{batch} + {batch}", *cells])
    heads = ["model", "train_method", "batch", *(f"{gb} GB" for gb in options.gigabytes)]
    text = table(heads, rows)
    options.out.mkdir(parents=True, exist_ok=True)
    replace_file(options.out / "cards.md", text.encode())
    print(text)


def _cell(size: str, method: str, batch: int, gigabytes: int, options: Options) -> str:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**CONFIGS[size])
    chosen = [
        p for name, p in unet.named_parameters() if architecture_of(unet).groups[method](name)
    ]
    try:
        plan = plan_training(
            unet,
            parameters=chosen,
            selected=round(options.density * sum(p.numel() for p in chosen)),
            batch_size=batch,
            steps=100,
            dtype=torch.bfloat16,
            frozen_teacher=True,
            held=2,
            free=gigabytes - 1,
        )
    except UsageError:
        return "no"
    again = ", recomputed" if plan.checkpointing else ""
    return f"{plan.micro_batch} at once{again}: {plan.total:.1f}"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
