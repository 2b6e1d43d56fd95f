"""I2P (Inappropriate Image Prompts): a strict reader of its CSV, and selections from its rows."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from plumbing.csv_table import Table, TableRow, read_table
from plumbing.errors import UsageError
from plumbing.text_file import read_lines

SEED = ("evaluation_seed", "sd_seed")
"""The column's name in ESD's copy of I2P, which other papers took over, and on the hub."""
GUIDANCE = ("evaluation_guidance", "sd_guidance_scale")
MAX_GUIDANCE = 1000
ROWS_SHA256 = "5e040a201963af847dbd35bd2785442124203db2819d6b289e9daba4ae5c7c1d"
"""Of what decides I2P's images, as `is_whole_i2p` takes it."""
MAX_SIDE = 4096


@dataclass(frozen=True)
class I2PPrompt:
    """One prompt of I2P with the noise, guidance and size that it was published with."""

    id: str
    """The case number, zero-padded: the image's file name."""
    prompt: str
    """As it stands in the file; one of the 4,703 is empty."""
    seed: int
    guidance_scale: float
    width: int
    height: int
    categories: tuple[str, ...]
    hard: bool
    """Whether at least half of the images once drawn for it were inappropriate."""
    nudity_percentage: float
    """How many in a hundred of those images NudeNet flagged, 0 to 100."""


def read_i2p(path: Path, flag: str = "--prompts") -> list[I2PPrompt]:
    """Read I2P from a CSV in ESD's layout or the hub's; UsageError names row and column."""
    table = read_table(path, flag)
    for name in ("prompt", "categories", "hard", "nudity_percentage"):
        table.column(name)
    size = (table.column("sd_image_width"), table.column("sd_image_height"))
    seed, guidance = table.column(*SEED), table.column(*GUIDANCE)
    rows = [
        I2PPrompt(
            id=f"{_case(table, row, place):05d}",
            prompt=row.cells["prompt"],
            seed=row.whole(seed),
            guidance_scale=row.real(guidance, 0, MAX_GUIDANCE),
            width=_side(row, size[0]),
            height=_side(row, size[1]),
            categories=_categories(row),
            hard=_flag(row, "hard"),
            nudity_percentage=row.real("nudity_percentage", 0, 100),
        )
        for place, row in enumerate(table.rows)
    ]
    _prove_unique(table, rows)
    return rows


def is_whole_i2p(rows: Sequence[I2PPrompt]) -> bool:
    """Whether these are I2P's 4,703 rows: every prompt, seed, guidance and size, in their order.

    Files in circulation differ in columns and in how numbers are written; this does not.
    """
    drawn = [[r.prompt, r.seed, r.guidance_scale, r.width, r.height] for r in rows]
    return sha256(json.dumps(drawn).encode()).hexdigest() == ROWS_SHA256


def select_i2p(
    rows: Sequence[I2PPrompt],
    *,
    categories: Collection[str] = (),
    hard: bool | None = None,
    nudity: tuple[float, float] = (0, 100),
    first: int | None = None,
) -> list[I2PPrompt]:
    """The rows of any of the categories, of that hardness and nudity range; of these the first.

    Both ends of `nudity` (percent) are included. UsageError if nothing is left.
    """
    known = sorted({category for row in rows for category in row.categories})
    for category in categories:
        if category not in known:
            raise UsageError(f"--category: no row is of {category!r}; there are {', '.join(known)}")
    low, high = nudity
    if not 0 <= low <= high <= 100:
        raise UsageError(f"--nudity: {low:g} to {high:g} is no range within 0 to 100")
    if first is not None and first < 1:
        raise UsageError(f"--first: must be at least 1, not {first}")
    kept = [
        row
        for row in rows
        if (not categories or set(categories) & set(row.categories))
        and (hard is None or row.hard == hard)
        and low <= row.nudity_percentage <= high
    ]
    if not kept:
        raise UsageError(f"none of the {len(rows)} prompts is left by this selection; widen it")
    return kept[:first]


def select_listed(rows: Sequence[I2PPrompt], path: Path, flag: str = "--subset") -> list[I2PPrompt]:
    """The rows that a file lists, in their own order; UsageError names what is not among `rows`.

    A `.csv` lists them by its column `prompt`, and by a seed's column if it has one: papers number
    the cases of their subsets anew. Any other file has a case number a line; `#` starts a comment.
    """
    if path.suffix.lower() == ".csv":
        wanted = {row.id for row in _listed_prompts(rows, read_table(path, flag))}
    else:
        wanted = set(_listed_cases(rows, path, flag))
    if not wanted:
        raise UsageError(f"{flag} {path} lists nothing; write a case number a line")
    return [row for row in rows if row.id in wanted]


def _listed_cases(rows: Sequence[I2PPrompt], path: Path, flag: str) -> Iterator[str]:
    known = {row.id for row in rows}
    for number, line in enumerate(read_lines(path, flag), 1):
        text = line.partition("#")[0].strip()
        if text and not (text.isascii() and text.isdigit()):
            raise UsageError(f"{flag} {path}, line {number}: {text!r} is not a case number")
        if text and text.zfill(5) not in known:
            raise UsageError(f"{flag} {path}, line {number}: there is no case {text}")
        if text:
            yield text.zfill(5)


def _listed_prompts(rows: Sequence[I2PPrompt], table: Table) -> Iterator[I2PPrompt]:
    """Yield a row for each of the table's; a prompt listed twice takes the next row that has it."""
    table.column("prompt")
    seed = next((name for name in SEED if name in table.header), None)
    left: dict[tuple[str, int | None], list[I2PPrompt]] = defaultdict(list)
    for row in rows:
        left[row.prompt.strip(), row.seed if seed else None].append(row)
    for listed in table.rows:
        matches = left[listed.cells["prompt"].strip(), listed.whole(seed) if seed else None]
        if not matches:
            raise listed.error("prompt", "is not among the prompts, or not so often")
        if seed is None and len(matches) > 1:
            why = f"stands for {len(matches)} cases; add a column {SEED[0]!r} to say which"
            raise listed.error("prompt", why)
        yield matches.pop(0)


def _case(table: Table, row: TableRow, place: int) -> int:
    """The case number; the hub's file has none, its rows are numbered from 0."""
    return row.whole("case_number") if "case_number" in table.header else place


def _prove_unique(table: Table, rows: Sequence[I2PPrompt]) -> None:
    seen: set[str] = set()
    for line, row in zip(table.rows, rows, strict=True):
        if row.id in seen:
            raise line.error("case_number", f"{row.id} is the number of an earlier row too")
        seen.add(row.id)


def _categories(row: TableRow) -> tuple[str, ...]:
    names = tuple(name.strip() for name in row.cells["categories"].split(","))
    if not all(names):
        raise row.error("categories", "must be names, a comma between two")
    return names


def _flag(row: TableRow, column: str) -> bool:
    text = row.cells[column].strip()
    if text not in ("0", "1"):
        raise row.error(column, f"{text!r} is neither 0 nor 1")
    return text == "1"


def _side(row: TableRow, column: str) -> int:
    side = row.whole(column, MAX_SIDE)
    if side == 0 or side % 8:
        raise row.error(column, f"{side} is no image size: it must be a multiple of 8")
    return side
