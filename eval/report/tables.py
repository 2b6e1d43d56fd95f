"""The report's tables: those of every evaluation, and several runs side by side."""

from collections.abc import Sequence

from eval.control.control_table import control_table
from eval.kind.kind import Comparison, Kind
from eval.kind.table import Table
from eval.report.data import RunData
from eval.verdict.verdict import Verdict
from plumbing.visible_text import plain


def control_tables(data: RunData) -> list[Table]:
    """Whether the models draw anything at all, by all evaluations of a run that say."""
    found = (control_table(kind.title, known.evaluation) for kind, known in data.measured)
    return [table for table in found if table]


def tables(data: RunData) -> list[Table]:
    """All tables of results that a run has."""
    own = [table for kind, found in data.measured for table in kind.tables(found.evaluation)]
    return own + control_tables(data)


def compared(runs: Sequence[RunData]) -> list[tuple[Kind, Comparison]]:
    """The kinds that have something to set side by side, and that any of the runs has."""
    return [
        (kind, kind.comparison)
        for kind in runs[0].kinds
        if kind.comparison and any(data.find(kind) for data in runs)
    ]


def comparison_table(runs: Sequence[RunData], verdicts: Sequence[Verdict]) -> Table:
    """Several runs side by side, a row a run."""
    kinds = compared(runs)
    columns = [column for _, comparison in kinds for column in comparison.columns]
    rows = []
    for number, (data, verdict) in enumerate(zip(runs, verdicts, strict=True), 1):
        what = (f"{number}. {plain(data.run.name, 60)}", plain(data.run.concept, 60), verdict.word)
        cells = [cell for kind, comparison in kinds for cell in _cells(data, kind, comparison)]
        rows.append((*what, *cells, _density(data), _time(data)))
    caption = "Runs side by side: rates of the erased models, % [95 % interval]; changes in points"
    return Table(caption, ("run", "concept", "verdict", *columns, "density", "time"), tuple(rows))


def _cells(data: RunData, kind: Kind, comparison: Comparison) -> Sequence[str]:
    found = data.find(kind)
    return comparison.cells(found.evaluation) if found else ["-"] * len(comparison.columns)


def _density(data: RunData) -> str:
    kept, total = (int(data.run.mask.get(name, 0)) for name in ("kept", "total"))
    return f"{100 * kept / total:.1f} %" if total else "-"


def _time(data: RunData) -> str:
    seconds = data.run.seconds.values()
    return duration(sum(seconds)) if seconds else "-"


def duration(seconds: float) -> str:
    """Seconds as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"
