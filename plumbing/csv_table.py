"""A reader of tables whose errors name the row and the column: cells, numbers, what is missing."""

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from plumbing.errors import UsageError
from plumbing.text_file import read_any_text

MAX_SEED = 2**64 - 1
DELIMITERS = (",", ";", "\t", "|")
_WHOLE = re.compile(r"[0-9]{1,40}(\.[0-9]{0,40})?([eE]\+?[0-9]{1,2})?")
_MISSING = ("", "nan", "none", "null", "na", "n/a", "<na>")
"""What programs write for a cell that has nothing, in small letters."""

Mend = Callable[[Sequence[str], Sequence[str]], list[str] | None]
"""Makes cells that fit of a header and too many cells; None if it cannot be told how."""


def plain_name(name: str) -> str:
    """A column's name as it is compared: `Sensitive Prompt` and `sensitive_prompt` are the same."""
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def is_missing(text: str) -> bool:
    """Whether a cell has nothing: blank, or what programs write for that, such as `NaN`."""
    return text.strip().lower() in _MISSING


@dataclass(frozen=True)
class TableRow:
    """One row of a table: its cells by column, and the words that say where it stands."""

    where: str
    cells: dict[str, str]

    def error(self, column: str, why: str) -> UsageError:
        """The error of one cell, to be raised."""
        return UsageError(f"{self.where}, column {column!r}: {why}")

    def has(self, column: str | None) -> bool:
        """Whether there is something in a cell; not if there is no such column."""
        return column is not None and not is_missing(self.cells[column])

    def whole(self, column: str, high: int = MAX_SEED) -> int:
        """A cell as a whole number from 0 to `high`; `123.0` and `1e5` are whole too."""
        text = self.cells[column].strip()
        value = Decimal(text) if _WHOLE.fullmatch(text) else None
        if value is None or value != value.to_integral_value():
            raise self.error(column, f"{text!r} is not a whole number of 0 or more")
        if value > high:
            raise self.error(column, f"{text} is more than {high}")
        return int(value)

    def real(self, column: str, low: float, high: float) -> float:
        """A cell as a number from `low` to `high`; a comma may stand for the point."""
        text = self.cells[column].strip()
        try:
            value = float(re.sub(r"^(-?[0-9]+),([0-9]+)$", r"\1.\2", text))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, f"{text!r} is not a number")
        if not low <= value <= high:
            raise self.error(column, f"{text} is not between {low:g} and {high:g}")
        return value

    def flag(self, column: str) -> bool:
        """A cell as yes or no: 1 or 0, also as `True` or `1.0`."""
        text = self.cells[column].strip().lower()
        if text not in ("0", "1", "0.0", "1.0", "true", "false"):
            raise self.error(column, f"{self.cells[column].strip()!r} is neither 0 nor 1")
        return text in ("1", "1.0", "true")


@dataclass(frozen=True)
class Table:
    """A table as read: never without a row."""

    where: str
    header: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def find(self, *names: str) -> str | None:
        """The column of the first of the names that the header has, None if it has none.

        UsageError if there are two of that name.
        """
        for name in names:
            found = [each for each in self.header if plain_name(each) == plain_name(name)]
            if len(found) > 1:
                raise UsageError(f"{self.where} has the column {name!r} twice; keep one")
            if found:
                return found[0]
        return None

    def column(self, *names: str) -> str:
        """The same; UsageError if the header has none of them."""
        if found := self.find(*names):
            return found
        near = difflib.get_close_matches(names[0], self.header, 1)
        had = f"did you mean {near[0]!r}?" if near else f"its columns: {', '.join(self.header)}"
        raise UsageError(f"{self.where} has no column {names[0]!r}; {had}")


def read_table(
    path: Path, flag: str, known: Callable[[str], bool], mend: Mend = lambda header, cells: None
) -> Table:
    """Read a text of cells with a header; UsageError names flag, file, row and remedy.

    Cells are separated by whatever makes a column that is `known`, by its plain name, of the first
    line: a comma if nothing does. `mend` is asked of rows with more cells than columns.
    """
    where = f"{flag} {path}"
    # What Excel may put above the header to tell itself how cells are separated.
    text = re.sub(r"\Asep=[^\r\n]\r?\n", "", read_any_text(path, flag))
    separator = _separator(text, path, known)
    try:
        return _parse(_reader(text, separator), where, mend)
    except NotQuoted as error:
        if separator != "\t":
            raise
        # Where tabs separate, quotation marks often are the text's own.
        try:
            return _parse(_reader(text, separator, quoting=csv.QUOTE_NONE), where, mend)
        except UsageError:
            raise error from None


class NotQuoted(UsageError):
    """The quotation marks of a text do not fit."""


def _reader(text: str, separator: str, **form: Any) -> Any:
    # newline="": a prompt may hold line ends, which are then kept as they are.
    lines = io.StringIO(text, newline="")
    return csv.reader(lines, delimiter=separator, strict=True, **form)


def _separator(text: str, path: Path, known: Callable[[str], bool]) -> str:
    usual = ("\t", *DELIMITERS) if path.suffix.lower() == ".tsv" else DELIMITERS
    for separator in usual:
        with suppress(csv.Error):
            first = next(filter(None, _reader(text, separator)), [])
            if any(known(plain_name(name)) for name in first):
                return separator
    return usual[0]


def _parse(reader: Any, where: str, mend: Mend) -> Table:
    rows: list[TableRow] = []
    header: tuple[str, ...] = ()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = tuple(cell.strip() for cell in cells)
            else:
                place = f"{where}, row {len(rows) + 1} (line {reader.line_num})"
                rows.append(_row(cells, header, place, mend))
    except csv.Error as error:
        raise NotQuoted(f"{where}, line {reader.line_num}: not valid CSV: {error}") from error
    if not rows:
        raise UsageError(f"{where} is empty: it needs a header and at least one row")
    return Table(where, header, tuple(rows))


def _row(cells: Sequence[str], header: Sequence[str], place: str, mend: Mend) -> TableRow:
    fitting = cells if len(cells) == len(header) else None
    if len(cells) > len(header):
        fitting = mend(header, cells)
    if fitting is None:
        raise UsageError(
            f"{place}: {len(cells)} cells under {len(header)} columns; "
            "a comma or a quotation mark is missing or too many"
        )
    return TableRow(place, dict(zip(header, fitting, strict=True)))
