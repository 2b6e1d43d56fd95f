"""The settings of `expunge report`; imports no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from expunge.settings.checks import require
from expunge.settings.groups import shown

Runs = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
]


@dataclass(frozen=True)
class Report:
    """Write one page on a run: verdict, before and after, figures, cost, where all came from.

    Several runs are set side by side. The page is one file that loads nothing.
    """

    runs: Runs
    """Run folder, or several to compare."""
    format: Literal["html", "md"] = "html"
    """A page to read, or Markdown tables for papers and model cards."""
    to: Annotated[Path | None, shown("FILE", "RUN/report.html or .md; required for several")] = None
    """File to write."""
    no_images: bool = False
    """Leave the before/after images out."""
    json: bool = False
    """Print one JSON object for machines instead of the file's name and the verdict."""

    def __post_init__(self) -> None:
        """Refuse no run at all, and several without a place for the page."""
        require(bool(self.runs), "RUN is missing; give a run folder")
        require(
            len(self.runs) == 1 or self.to is not None,
            "--to is missing: with several runs, name the file to write",
        )
        names = [run.resolve() for run in self.runs]
        require(len(set(names)) == len(names), "the same RUN is given twice; give each once")

    @property
    def place(self) -> Path:
        """The file to write."""
        return self.to or self.runs[0] / f"report.{self.format}"
