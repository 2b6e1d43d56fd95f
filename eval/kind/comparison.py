"""What a kind of evaluation adds where several runs are set side by side: columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from eval.metrics.rates import cell
from eval.metrics.schema import Metric, Named
from plumbing.record import to_json

Setting = str | Named
"""In words, or a model, which is the same if its hash is."""


@dataclass(frozen=True)
class Cell:
    """One run in one column; what is not there says why."""

    text: str = "-"
    """For people, maybe of several lines."""
    value: Any = None
    """The same as a JSON value."""
    why: str = ""
    """Why there is none."""
    flags: Mapping[str, Any] | None = None
    """Flags of the evaluation's command that fills it, beside those that it was given."""
    command: str = ""
    """That command line, once it is known of which run."""


@dataclass(frozen=True)
class Column:
    """A column of the table: its name, and what each run has in it."""

    name: str
    cell: Callable[[Any], Cell]
    """Of an evaluation, where a kind brings the column; else of a row."""
    better: Literal["higher", "lower", ""] = ""


@dataclass(frozen=True)
class Comparison:
    """What a kind adds where several runs are set side by side."""

    columns: Callable[[Sequence[Any]], Sequence[Column]]
    """From the evaluations of that kind that there are; their cells are of an evaluation."""
    settings: Callable[[Any], Mapping[str, Setting]] = field(default=lambda _: {})
    """What must be alike in all runs for their figures to be compared, by its name."""


def metric_cell(metric: Metric | None, digits: int = 1, **missing: Any) -> Cell:
    """A cell of a rate, a mean or a distance; `missing` is what a Cell says if there is none."""
    if metric is None:
        return Cell(**missing)
    return Cell(cell(metric, digits), to_json(metric))


def drawn_settings(protocol: Any, judges: Mapping[str, Named]) -> dict[str, Setting]:
    """What a protocol with one guidance and seed for all images must have alike."""
    names = ("seed", "sampler", "steps", "guidance_scale", "dtype")
    told = {known.replace("_", " "): str(getattr(protocol, known)) for known in names}
    size = {"size": f"{protocol.width}x{protocol.height}"}
    return {**told, **size, **{f"judge of {d}s": judge for d, judge in sorted(judges.items())}}
