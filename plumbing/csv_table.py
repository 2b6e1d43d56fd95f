"""A strict reader of CSV tables whose errors name the row and the column."""

import csv
import difflib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plumbing.errors import UsageError
from plumbing.text_file import reading

MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class TableRow:
    """One row of a CSV: its cells by column, and the words that say where it stands."""

    where: str
    cells: dict[str, str]

    def error(self, column: str, why: str) -> UsageError:
        """The error of one cell, to be raised."""
        return UsageError(f"{self.where}, column {column!r}: {why}")

    def whole(self, column: str, high: int = MAX_SEED) -> int:
        """A cell as a whole number from 0 to `high`."""
        text = self.cells[column].strip()
        if not re.fullmatch("[0-9]{1,20}", text):
            raise self.error(column, f"{text!r} is not a whole number of 0 or more")
        if int(text) > high:
            raise self.error(column, f"{text} is more than {high}")
        return int(text)

    def real(self, column: str, low: float, high: float) -> float:
        """A cell as a number from `low` to `high`."""
        text = self.cells[column].strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, f"{text!r} is not a number")
        if not low <= value <= high:
            raise self.error(column, f"{text} is not between {low:g} and {high:g}")
        return value


@dataclass(frozen=True)
class Table:
    """A CSV file as read: never without a row."""

    where: str
    header: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def column(self, *names: str) -> str:
        """The first of the names that the header has; UsageError if it has none."""
        for name in names:
            if name in self.header:
                return name
        near = difflib.get_close_matches(names[0], self.header, 1)
        wanted = " or ".join(repr(name) for name in names)
        had = f"did you mean {near[0]!r}?" if near else f"its columns: {', '.join(self.header)}"
        raise UsageError(f"{self.where} has no column {wanted}; {had}")


def read_table(path: Path, flag: str) -> Table:
    """Read a UTF-8 CSV file with a header; UsageError names flag, file, row and remedy."""
    where = f"{flag} {path}"
    # newline="": a prompt may hold line ends, which are then kept as they are.
    with reading(path, flag), path.open(encoding="utf-8-sig", newline="") as file:
        return _parse(csv.reader(file, strict=True), where)


def _parse(reader: Any, where: str) -> Table:
    rows: list[TableRow] = []
    header: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = _header(cells, where)
            else:
                place = f"{where}, row {len(rows) + 1} (line {reader.line_num})"
                rows.append(_row(cells, header, place))
    except csv.Error as error:
        raise UsageError(f"{where}, line {reader.line_num}: not valid CSV: {error}") from error
    if not rows:
        raise UsageError(f"{where} is empty: it needs a header and at least one row")
    return Table(where, header, tuple(rows))


def _header(cells: Sequence[str], where: str) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"{where} has the column {name!r} twice; keep one")
    return names


def _row(cells: Sequence[str], header: Sequence[str], place: str) -> TableRow:
    if len(cells) != len(header):
        raise UsageError(
            f"{place}: {len(cells)} cells under {len(header)} columns; "
            "a comma or a quotation mark is missing or too many"
        )
    return TableRow(place, dict(zip(header, cells, strict=True)))
