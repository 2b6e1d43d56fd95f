"""The columns of the table: who, what each kind of evaluation found, and what it took.

A further column is one line in `columns`: a name, and a function of a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from textwrap import wrap
from typing import Any

from eval.compare.plane import Plane
from eval.compare.row import Row
from eval.kind.comparison import Cell, Column, metric_cell
from eval.kind.kind import Kind
from eval.report.story import told_of_no_run
from eval.report.tables import duration
from plumbing.visible_text import plain

_NO_RUN = "not a run folder, so nobody recorded it"
_OLDER = "the run does not tell it"


def columns(rows: Sequence[Row], plane: Plane) -> list[Column]:
    """All columns, those of the kinds of evaluation that any row has in the order of the kinds."""
    kinds = [kind for kind in rows[0].data.kinds if kind.comparison]
    return [
        Column("method", _method),
        Column("settings that differ", partial(_settings, _differing(rows))),
        Column("concept", lambda row: _text(row.data.run.concept)),
        Column("verdict", lambda row: _text(row.verdict.word)),
        Column("frontier", partial(_frontier, plane)),
        Column("retention", partial(_retention, plane), "higher"),
        *(column for kind in kinds for column in _of_kind(kind, rows)),
        Column("time", _seconds, "lower"),
        Column("passes", _passes, "lower"),
        Column("peak memory", _memory, "lower"),
    ]


def _text(value: object, longest: int = 60) -> Cell:
    text = plain(value, longest)
    return Cell(_wrapped(text, 18), text)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(wrap(text, width, break_long_words=False, break_on_hyphens=False))


def _method(row: Row) -> Cell:
    if not row.data.run.is_run:
        return Cell(why=_NO_RUN)
    return _text(row.data.run.method or row.data.run.command)


def _differing(rows: Sequence[Row]) -> list[str]:
    """The settings that more than one run has, and not all alike."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.data.run.config.items():
            found.setdefault(name, set()).add(repr(value))
    return [name for name, values in found.items() if len(values) > 1]


def _settings(names: Sequence[str], row: Row) -> Cell:
    if not row.data.run.is_run:
        return Cell(why=_NO_RUN)
    own = {name: row.data.run.config[name] for name in names if name in row.data.run.config}
    told = ", ".join(f"{plain(k.replace('_', ' '), 40)} {_shown(v)}" for k, v in own.items())
    return Cell(_wrapped(told, 32) or "-", {plain(k, 40): _shown(v) for k, v in own.items()})


def _shown(value: Any) -> str:
    return "none" if value is None else plain(f"{value:g}" if _is_float(value) else value, 60)


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _frontier(plane: Plane, row: Row) -> Cell:
    if row.number not in plane.beaten:
        return Cell(why=f"{plane.axis.name} or retention is not known")
    other = plane.beaten[row.number]
    if other is None:
        return Cell("on it", {"on": True})
    sure = plane.clearly(row.number)
    text = f"beaten by {other}" + ("" if sure else "\nwithin intervals")
    return Cell(text, {"on": False, "beaten_by": other, "clearly": sure})


def _retention(plane: Plane, row: Row) -> Cell:
    return metric_cell(plane.retention.get(row.number), why="ira, cra and near are not known")


def _of_kind(kind: Kind, rows: Sequence[Row]) -> list[Column]:
    """A kind's columns, of rows; what one lacks is to be measured as in the first that has it."""
    found = [measured.evaluation for row in rows if (measured := row.data.find(kind))]
    own = kind.comparison.columns(found) if kind.comparison else ()
    like = found[0] if found else None
    return [replace(column, cell=partial(_measured, kind, column.cell, like)) for column in own]


def _measured(kind: Kind, cell: Callable[[Any], Cell], like: Any, row: Row) -> Cell:
    measured = row.data.find(kind)
    if measured is None:
        return _filled(kind, row, Cell(why="not evaluated", flags={}), like)
    found = cell(measured.evaluation)
    found = replace(found, why=plain(found.why, 200))
    return found if found.flags is None else _filled(kind, row, found, measured.evaluation)


def _filled(kind: Kind, row: Row, cell: Cell, like: Any) -> Cell:
    """The same, saying which command fills it: as that of `like`, with the cell's flags."""
    run = row.data.run
    if run.command == "mask":
        return Cell(why="a mask is no model")
    if run.is_run and not run.finished:
        return Cell(why="the run is not finished")
    target, more = "RUN", dict(cell.flags or {})
    if not run.is_run:
        target, more = "MODEL", told_of_no_run(run, kind, "BASE") | more
    return replace(cell, command=plain(kind.command(target, like, **more), 1000))


def _seconds(row: Row) -> Cell:
    spent = sum(row.data.run.seconds.values())
    return Cell(duration(spent), round(spent, 1)) if spent else _unknown(row)


def _passes(row: Row) -> Cell:
    spent = sum(row.data.run.passes.values())
    return Cell(f"{spent:,}", spent) if row.data.run.passes else _unknown(row)


def _memory(row: Row) -> Cell:
    megabytes = row.data.run.peak_memory_mb
    return _unknown(row) if megabytes is None else Cell(f"{megabytes:,.0f} MB", megabytes)


def _unknown(row: Row) -> Cell:
    return Cell(why=_OLDER if row.data.run.is_run else _NO_RUN)
