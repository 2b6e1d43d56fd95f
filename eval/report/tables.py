"""The report's tables: those of every evaluation."""

from eval.control.control_table import control_table
from eval.kind.table import Table
from eval.report.data import RunData


def control_tables(data: RunData) -> list[Table]:
    """Whether the models draw anything at all, by all evaluations of a run that say."""
    found = (control_table(kind.title, known.evaluation) for kind, known in data.measured)
    return [table for table in found if table]


def tables(data: RunData) -> list[Table]:
    """All tables of results that a run has."""
    own = [table for kind, found in data.measured for table in kind.tables(found.evaluation)]
    return own + control_tables(data)


def duration(seconds: float) -> str:
    """Seconds as `4.2 s`, `3 min 20 s` or `2 h 5 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"
