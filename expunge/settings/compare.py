"""The settings of `expunge compare`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import require
from expunge.settings.groups import shown

Runs = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN RUN [RUN ...]", help_behavior_hint="(required)"),
]


@dataclass(frozen=True)
class Compare:
    """Set two or more runs side by side: what was erased, what was kept, what it took.

    One page that loads nothing: a table, a chart with intervals, and the frontier, the runs that no
    other one beats. What is not alike in them is said above all figures.
    """

    runs: Runs
    """Run folders, in the order of the table; or folders of what `expunge evaluate --out` wrote of
    any model, as `FOLDER/concept` and `FOLDER/attack`."""
    out: Annotated[Path | None, shown("FILE", "compare.html, .md or .json, here")] = None
    """File to write."""
    format: Literal["html", "md", "json"] = "html"
    """A page to read, Markdown for papers and model cards, or JSON for machines."""
    json: bool = False
    """Print the JSON instead of a few lines, with the file's name."""

    def __post_init__(self) -> None:
        """Refuse fewer than two runs, and the same one twice."""
        require(bool(self.runs), "RUN is missing; give two run folders or more")
        require(
            len(self.runs) > 1,
            "one RUN has nothing beside it; give two or more, or `expunge report` it",
        )
        names = [run.resolve() for run in self.runs]
        require(len(set(names)) == len(names), "the same RUN is given twice; give each once")

    @property
    def place(self) -> Path:
        """The file to write."""
        return self.out or Path(f"compare.{self.format}")
