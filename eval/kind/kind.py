"""A kind of evaluation, as the report, the verdict and the commands shown in them know it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.kind.chart import Chart
from eval.kind.command_line import command_line
from eval.kind.comparison import Comparison
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery
from eval.kind.table import Table
from eval.verdict.verdict import Clause, Rules


@dataclass(frozen=True)
class Figure:
    """One of the large numbers below the verdict."""

    name: str
    value: str
    explained: str


def _none(*_: Any) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Kind:
    """A kind of evaluation: `expunge evaluate NAME`, whose results lie in a run's `eval/NAME`.

    A new kind is a room of its own that ends in such an object, and one line in `eval.kinds`. Its
    functions take an evaluation as `read` gives it, or a `Measurement` where they need more.
    """

    name: str
    title: str
    """What its lines and tables begin with."""
    unmeasured: str
    """What nobody knows without it: a sentence."""
    read: Callable[[Path], Any]
    """Reads evaluation.json; a UsageError for one with a value that cannot be."""
    protocol: Callable[[Any], str]
    """How its images were drawn and judged, in one line."""
    flags: Callable[[Any], Mapping[str, Any]]
    """The flags of `expunge evaluate NAME RUN` that make it anew, by name."""
    tables: Callable[[Any], Sequence[Table]]
    clause: Callable[[Measurement], Clause | None] = lambda _: None
    """What it adds to the verdict on a run."""
    rules: Rules = field(default_factory=Rules)
    """How the verdict comes to that."""
    read_rows: Callable[[Path, list[str]], Any] = _none
    """Reads what lies beside evaluation.json; adds what is broken there to a list."""
    heading: str = ""
    """Of its own section; without it, tables and pictures are among those of other kinds."""
    figures: Callable[[Any], Sequence[Figure]] = _none
    charts: Callable[[Any], Sequence[Chart]] = _none
    galleries: Callable[[Measurement], Sequence[Gallery]] = _none
    limits: Callable[[Any], Iterable[str]] = _none
    """What one that is there does not show: sentences."""
    left_out: Callable[[Any], Iterable[str]] = _none
    """Which of its images are not there, and why."""
    comparison: Comparison | None = None

    def command(self, target: str, evaluation: Any = None, **more: Any) -> str:
        """The command line that makes an evaluation anew, with `more` flags; files by name."""
        flags = {} if evaluation is None else self.flags(evaluation)
        return command_line(("expunge", "evaluate", self.name, target), {**flags, **more})
