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
    tyro.conf.arg(metavar="RUN", help_behavior_hint="(required)"),
]


@dataclass(frozen=True)
class Report:
    """Write one page on a run: verdict, before and after, figures, cost, where all came from.

    The page is one file that loads nothing. `expunge compare` sets several runs side by side.
    """

    runs: Runs
    """Run folder."""
    format: Literal["html", "md"] = "html"
    """A page to read, or Markdown tables for papers and model cards."""
    to: Annotated[Path | None, shown("FILE", "RUN/report.html or .md")] = None
    """File to write."""
    no_images: bool = False
    """Leave the before/after images out."""
    json: bool = False
    """Print one JSON object for machines instead of the file's name and the verdict."""

    def __post_init__(self) -> None:
        """Refuse no run at all, and several."""
        require(bool(self.runs), "RUN is missing; give a run folder")
        require(
            len(self.runs) == 1,
            "a report is of one RUN; `expunge compare` sets several side by side",
        )

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.runs[0]

    @property
    def place(self) -> Path:
        """The file to write."""
        return self.to or self.run / f"report.{self.format}"
