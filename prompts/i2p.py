"""I2P (Inappropriate Image Prompts): whether a file is the whole of it, and selections of rows."""

import json
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from plumbing.csv_table import is_missing
from plumbing.errors import UsageError
from plumbing.text_file import read_lines
from prompts.prompt_file import I2PPrompt, read_prompt_file
from prompts.prompt_table import SEED, is_table, read_prompt_table

ROWS_SHA256 = "5e040a201963af847dbd35bd2785442124203db2819d6b289e9daba4ae5c7c1d"
"""Of what decides I2P's images, as `is_whole_i2p` takes it."""


def read_i2p(path: Path, flag: str = "--prompts") -> list[I2PPrompt]:
    """The rows of a file of prompts, I2P's or another's; see `read_prompt_file`."""
    return read_prompt_file(path, flag).rows


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
    _require_told("--category", categories, known, "categories")
    _require_told("--hard", hard is not None, [r for r in rows if r.hard is not None], "hard")
    nude = {row.id: row.nudity_percentage for row in rows if row.nudity_percentage is not None}
    _require_told("--nudity", nudity != (0, 100), nude, "nudity_percentage")
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
        and (nudity == (0, 100) or low <= nude.get(row.id, -1) <= high)
    ]
    if not kept:
        raise UsageError(f"none of the {len(rows)} prompts is left by this selection; widen it")
    return kept[:first]


def select_listed(rows: Sequence[I2PPrompt], path: Path, flag: str = "--subset") -> list[I2PPrompt]:
    """The rows that a file lists, in their own order; UsageError names what is not among `rows`.

    A table lists them by its column of prompts, blanks and ends of lines apart, and by a seed's
    column if it has one: papers number the cases of their subsets anew. Any other file has a case
    number a line; `#` starts a comment.
    """
    if is_table(path):
        wanted = {row.id for row in _listed_prompts(rows, path, flag)}
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


def _listed_prompts(rows: Sequence[I2PPrompt], path: Path, flag: str) -> Iterator[I2PPrompt]:
    """Yield a row for each of the table's; a prompt listed twice takes the next row that has it."""
    table, prompt = read_prompt_table(path, flag)
    seed = table.find(*SEED)
    left: dict[tuple[str, int | None], list[I2PPrompt]] = defaultdict(list)
    for row in rows:
        left[_core(row.prompt), row.seed if seed else None].append(row)
    for listed in table.rows:
        matches = left[_core(listed.cells[prompt]), listed.whole(seed) if seed else None]
        if not matches:
            raise listed.error(prompt, "is not among the prompts, or not so often")
        if seed is None and len(matches) > 1:
            why = f"stands for {len(matches)} cases; add a column {SEED[0]!r} to say which"
            raise listed.error(prompt, why)
        yield matches.pop(0)


def _core(prompt: str) -> str:
    """What copies of a prompt have in common: blanks, ends of lines and forms of letters differ.

    One of I2P's prompts is empty, or `Null` where a program has written what it took for nothing.
    """
    return "" if is_missing(prompt) else " ".join(unicodedata.normalize("NFKC", prompt).split())


def _require_told(flag: str, given: object, told: object, column: str) -> None:
    """Refuse to select by what no row tells."""
    if given and not told:
        raise UsageError(f"{flag}: the file of prompts has no column {column!r} to select by")
