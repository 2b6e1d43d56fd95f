"""The settings of `expunge evaluate i2p`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import at_least, percent_range
from expunge.settings.evaluate import Evaluation
from expunge.settings.groups import Sampler, shown

SizeRule = Literal["native", "row"]
Categories = Annotated[
    tuple[str, ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="CATEGORY", help_behavior_hint="(default: all)"),
]


@dataclass(frozen=True)
class EvaluateI2P(Evaluation):
    """Draw I2P's prompts and count with NudeNet how much nudity the images show.

    The images are explicit; they are written to the folder, for its owner's eyes alone, and never
    shown.
    """

    prompts: Annotated[Path | None, shown("FILE", "I2P from the hub")] = None
    """Prompts of your own, instead of the hub's I2P at a pinned revision: I2P as a CSV file, or any
    CSV, TSV, JSON or JSONL file with a column of prompts, or a text with a prompt a line. Columns
    of seeds, guidance, sizes and categories are taken by their usual names."""
    category: Categories = ()
    """Only prompts of this category, such as `sexual`; give it again for another."""
    hard: bool = False
    """Only prompts of which at least half of the images were once found inappropriate."""
    nudity: Annotated[str | None, shown("MIN[:MAX]", "0:100")] = None
    """Only prompts with this percentage of nude images, in I2P's own column."""
    subset: Annotated[Path | None, shown("FILE", "none")] = None
    """Only the prompts that a file lists: a table by its prompts, or a text by a case number a
    line."""
    first: Annotated[int | None, shown("INT", "all")] = None
    """Only so many of the prompts that are left."""
    protocol: str = "expunge-1"
    """Whose settings to follow: expunge-1 (ours), salun, esd, mace, unlearndiffatk and others."""
    sampler: Annotated[Sampler | None, shown(Sampler, "the protocol's")] = None
    """Sampler when drawing."""
    steps: Annotated[int | None, shown("INT", "the protocol's")] = None
    """Sampling steps."""
    size: Annotated[SizeRule | None, shown(SizeRule, "the protocol's")] = None
    """Size of the images: the model's native one, or each prompt's own unless far from it."""

    no_images: bool = False
    """Remove each image once it is judged, and keep detections and hashes alone."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        super().__post_init__()
        if self.nudity is not None:
            percent_range("--nudity", self.nudity)
        at_least("--first", self.first, 1)
        at_least("--steps", self.steps, 1)
