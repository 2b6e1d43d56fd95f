"""Rows to be drawn from a file of prompts, I2P's or another: each with seed, guidance and size.

What a file does not tell has a default, and is told of.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from plumbing.csv_table import Table, TableRow
from plumbing.errors import UsageError
from prompts.evaluation_rows import seed_of
from prompts.prompt_table import (
    CASE,
    CATEGORY,
    DRAWN,
    GUIDANCE,
    PHOTO,
    SEED,
    read_prompt_table,
)

MAX_GUIDANCE = 1000
USUAL_GUIDANCE = 7.5
"""Of a row that does not tell its own."""
MAX_SIDE = 4096
Value = TypeVar("Value")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class I2PPrompt:
    """One prompt of I2P, or of a file like it, with the noise, guidance and size to draw it in."""

    id: str
    """The case number, zero-padded: the image's file name."""
    prompt: str
    """As it stands in the file; one of the 4,703 is empty."""
    seed: int
    guidance_scale: float
    width: int | None
    """None, as for `height`: the file does not tell, and the model's own size is drawn."""
    height: int | None
    categories: tuple[str, ...]
    hard: bool | None
    """Whether at least half of the images once drawn for it were inappropriate; None if untold."""
    nudity_percentage: float | None
    """How many in a hundred of those images NudeNet flagged, 0 to 100; None if untold."""


@dataclass(frozen=True)
class PromptFile:
    """What a file of prompts holds."""

    rows: list[I2PPrompt]
    lacking: Mapping[str, str]
    """What was taken where the file does not tell, by the name of what it does not tell."""


def read_prompt_file(path: Path, flag: str) -> PromptFile:
    """Read I2P in any of its layouts, or any other table or list of prompts.

    UsageError names row and column of what cannot be meant, or the columns if none has prompts.
    A row without prompt and seed is left out; one of I2P's has no prompt, but a seed.
    """
    table, prompt = read_prompt_table(path, flag)
    columns = _Columns.of(table, prompt)
    kept = [row for row in table.rows if row.has(prompt) or row.has(columns.seed)]
    if not kept:
        raise UsageError(f"{table.where} holds no prompt in its column {prompt!r}")
    cases, seen = _cases(table, kept), Counter[str]()
    rows = []
    for number, row in zip(cases or range(len(kept)), kept, strict=True):
        rows.append(_read(row, columns, number, seen[row.cells[prompt]]))
        seen[row.cells[prompt]] += 1
    lacking = columns.lacking(kept)
    if cases is None:
        lacking["number of its own for each row"] = "they are numbered from 0, in their order"
    if len(kept) < len(table.rows):
        lacking["prompt"] = f"in {len(table.rows) - len(kept)} rows, which are left out"
    for name, told in lacking.items():
        log.info("%s: no %s: %s", table.where, name, told)
    return PromptFile(rows, lacking)


@dataclass(frozen=True)
class _Columns:
    """Where a table tells what; None where it does not."""

    prompt: str
    seed: str | None
    guidance: str | None
    size: tuple[str, str] | None
    exact: bool
    """Whether `size` is of images that were drawn, not of photographs, which have any size."""
    categories: str | None
    hard: str | None
    nudity: str | None

    @classmethod
    def of(cls, table: Table, prompt: str) -> "_Columns":
        """Those of a table."""
        sizes = [(table.find(*width), table.find(*height)) for width, height in (DRAWN, PHOTO)]
        found = [(width, height) for width, height in sizes if width and height]
        return cls(
            prompt,
            seed=table.find(*SEED),
            guidance=table.find(*GUIDANCE),
            size=found[0] if found else None,
            exact=all(sizes[0]),
            categories=table.find(*CATEGORY),
            hard=table.find("hard"),
            nudity=table.find("nudity_percentage"),
        )

    def lacking(self, rows: Sequence[TableRow]) -> dict[str, str]:
        """What is taken for what the rows do not tell."""
        defaults = {
            "seed": (self.seed, "each is drawn from a seed that its prompt gives"),
            "guidance": (self.guidance, f"{USUAL_GUIDANCE:g}"),
            "size": (self.size and self.size[0], "the model's own"),
        }
        found = {}
        for name, (column, taken) in defaults.items():
            without = sum(not row.has(column) for row in rows)
            if without:
                where = "" if without == len(rows) else f"in {without} of {len(rows)} rows: "
                found[name] = where + taken
        return found


def _read(row: TableRow, columns: _Columns, number: int, before: int) -> I2PPrompt:
    """One row, whose prompt stood in so many `before`."""
    prompt = row.cells[columns.prompt]
    seed = _given(row, columns.seed, row.whole)
    guidance = _given(row, columns.guidance, lambda name: row.real(name, 0, MAX_GUIDANCE))
    size = columns.size or (None, None)
    width, height = (_given(row, name, partial(_side, row, columns.exact)) for name in size)
    return I2PPrompt(
        id=f"{number:05d}",
        prompt=prompt,
        seed=seed_of(prompt, before) if seed is None else seed,
        guidance_scale=USUAL_GUIDANCE if guidance is None else guidance,
        width=width,
        height=height,
        categories=_given(row, columns.categories, partial(_categories, row)) or (),
        hard=_given(row, columns.hard, row.flag),
        nudity_percentage=_given(row, columns.nudity, lambda name: row.real(name, 0, 100)),
    )


def _given(row: TableRow, column: str | None, read: Callable[[str], Value]) -> Value | None:
    return read(column) if column is not None and row.has(column) else None


def _cases(table: Table, rows: Sequence[TableRow]) -> list[int] | None:
    """The case numbers, or the places where there are none; None if they are not each its own."""
    column = table.find(*CASE)
    if column is None:
        return list(range(len(rows)))
    cases = [row.whole(column) for row in rows if row.has(column)]
    return cases if len(set(cases)) == len(rows) else None


def _categories(row: TableRow, column: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in row.cells[column].split(","))
    if not all(names) and column == CATEGORY[0]:
        raise row.error(column, "must be names, a comma between two")
    return tuple(filter(None, names))


def _side(row: TableRow, exact: bool, column: str) -> int:
    """A side in pixels; a photograph's is rounded to what a model can draw."""
    side = row.whole(column, MAX_SIDE)
    if not exact:
        side = max(8, (side + 4) // 8 * 8)
    if side == 0 or side % 8:
        raise row.error(column, f"{side} is no image size: it must be a multiple of 8")
    return side
