"""The whole comparison: what the page, the Markdown and the JSON are rendered from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.compare.columns import columns
from eval.compare.differences import differences
from eval.compare.plane import Plane, find_plane
from eval.compare.row import Row
from eval.compare.standing import standing
from eval.kind.comparison import Cell, Column
from eval.kind.table import Table
from plumbing.visible_text import plain

_ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
_CAPTION = "Of the erased models, rates in % [95 % interval]; ↑ more is better, ↓ less is better"


@dataclass(frozen=True)
class Note:
    """Why cells with its letter are empty, and the command that fills them, if any does."""

    letter: str
    why: str
    command: str


@dataclass(frozen=True)
class Compared:
    """Runs side by side."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[Cell, ...], ...]
    """A row's, one a column."""
    plane: Plane
    differences: tuple[str, ...]
    """What is not alike, and should be said before any figure."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """Why cells are empty, each reason once."""
        empty = [cell for row in self.cells for cell in row if cell.why]
        reasons = dict.fromkeys((cell.why, cell.command) for cell in empty)
        return tuple(Note(_letter(n), *reason) for n, reason in enumerate(reasons))

    @property
    def table(self) -> Table:
        """The one table; cells may have several lines, and a note's letter where they are empty."""
        letters = {(note.why, note.command): f"- ({note.letter})" for note in self.notes}
        rows = [
            (row.label, *(letters.get((cell.why, cell.command), _lines(cell)) for cell in cells))
            for row, cells in zip(self.rows, self.cells, strict=True)
        ]
        names = tuple(f"{column.name}{_ARROWS[column.better]}" for column in self.columns)
        return Table(_CAPTION, ("run", *names), tuple(rows))

    @property
    def standing(self) -> list[str]:
        """Who is on the frontier, and who is beaten by whom: sentences."""
        return standing(self.rows, self.plane)


def compare(rows: Sequence[Row]) -> Compared:
    """Set two or more runs side by side, in their order."""
    plane = find_plane(rows)
    known = columns(rows, plane)
    cells = tuple(tuple(column.cell(row) for column in known) for row in rows)
    return Compared(tuple(rows), tuple(known), cells, plane, tuple(differences(rows)))


def to_data(found: Compared) -> dict[str, Any]:
    """The same as JSON values."""
    names = [column.name for column in found.columns]
    return {
        "differences": list(found.differences),
        "standing": found.standing,
        "erased_by": found.plane.axis.name,
        "retention_of": list(found.plane.kept),
        "columns": names,
        "rows": [
            {
                "run": plain(row.data.run.name, 200),
                "level": row.verdict.level,
                "sentence": row.verdict.sentence,
                "cells": {n: cell.value for n, cell in zip(names, cells, strict=True)},
                "missing": {
                    name: {"why": cell.why, "command": cell.command or None}
                    for name, cell in zip(names, cells, strict=True)
                    if cell.why
                },
            }
            for row, cells in zip(found.rows, found.cells, strict=True)
        ],
    }


def _lines(cell: Cell) -> str:
    """An interval has a line of its own: there are many columns."""
    return cell.text.replace(" [", "\n[")


def _letter(place: int) -> str:
    """Give a to z, then aa, ab and so on."""
    more, last = divmod(place, 26)
    return (_letter(more - 1) if more else "") + chr(ord("a") + last)
