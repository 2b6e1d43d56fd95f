"""Tables of prompts as they are published: which column has the prompts, and which the rest.

CSV with whatever separator, TSV, JSON, JSONL, and plain texts with a prompt a line.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plumbing.csv_table import Table, TableRow, plain_name, read_table
from plumbing.errors import UsageError
from plumbing.json_file import parse
from plumbing.text_file import lines_of, read_any_text

log = logging.getLogger(__name__)

PROMPT = (
    *("prompt", "prompts", "text", "texts", "caption", "captions"),
    *("adv_prompt", "adversarial_prompt", "sensitive_prompt"),
)
"""Names of the column of prompts, the first that there is. An attack's file may have more."""
SEED = ("evaluation_seed", "sd_seed", "seed", "eval_seed", "random_seed")
"""The first is its name in ESD's copy of I2P, which other papers took over, the second the hub's;
so it is with what follows."""
GUIDANCE = (
    *("evaluation_guidance", "sd_guidance_scale", "guidance_scale", "guidance"),
    *("cfg_scale", "cfg"),
)
DRAWN = (("sd_image_width",), ("sd_image_height",))
"""Width and height of images that were drawn, and in files of captions of photographs."""
PHOTO = (("image_width", "width"), ("image_height", "height"))
CATEGORY = (
    *("categories", "category", "class", "classes", "label_str", "label", "concept", "artist"),
    *("target", "profession", "type"),
)
CASE = ("case_number", "case_num")
_JSON, _CSV = (".json", ".jsonl", ".ndjson"), (".csv", ".tsv")


def is_table(path: Path) -> bool:
    """Whether a file's name says that it has columns, and not a prompt a line."""
    return path.suffix.lower() in (*_JSON, *_CSV)


def table_prompts(path: Path, flag: str) -> tuple[str, ...]:
    """The prompts of a table, each once and in order, none of them blank; nothing else of it.

    UsageError names flag, file and remedy if there is no column of prompts, or none in it.
    """
    table, column = read_prompt_table(path, flag)
    found = (" ".join(row.cells[column].split()) for row in table.rows if row.has(column))
    prompts = tuple(dict.fromkeys(found))
    if not prompts:
        raise UsageError(f"{flag}: {path} holds no prompt in its column {column!r}")
    return prompts


def read_prompt_table(path: Path, flag: str) -> tuple[Table, str]:
    """A file's rows and the column of its prompts; which that is is told of unless it is `prompt`.

    UsageError names the flag, the file, the columns that there are, and the remedy.
    """
    if path.suffix.lower() in _JSON:
        table = _read_json(path, flag)
    elif path.suffix.lower() in _CSV:
        table = read_table(path, flag, lambda name: name in PROMPT, _join_prompt)
    else:
        return _lines(path, flag), PROMPT[0]
    column = table.find(*PROMPT) or _only(table)
    if column is None:
        if len(table.header) == 1:
            return _without_header(table), PROMPT[0]
        table.column(*PROMPT)
        raise AssertionError
    if column != PROMPT[0]:
        log.info("%s: the prompts are those of its column %r", table.where, column)
    return table, column


def _only(table: Table) -> str | None:
    """The one column whose name ends in what prompts are called."""
    ends = [(name, plain_name(name).rpartition("_")[2]) for name in table.header]
    found = [name for name, end in ends if end in PROMPT]
    return found[0] if len(found) == 1 else None


def _without_header(table: Table) -> Table:
    """One column of another name: the first line is a prompt like the others."""
    (first,) = table.header
    log.warning("%s has no header: its first line %r is taken as a prompt", table.where, first)
    rows = [{PROMPT[0]: first}, *({PROMPT[0]: row.cells[first]} for row in table.rows)]
    return _numbered(table.where, rows, "row")


def _join_prompt(header: Sequence[str], cells: Sequence[str]) -> list[str] | None:
    """A prompt whose commas nobody put in quotes, if a seed after it proves where it ends."""
    names = [plain_name(name) for name in header]
    prompt = next((names.index(name) for name in PROMPT if name in names), None)
    seed = next((names.index(name) for name in SEED if name in names), None)
    if prompt is None or seed is None or seed < prompt:
        return None
    end = prompt + 1 + len(cells) - len(header)
    joined = [*cells[:prompt], ",".join(cells[prompt:end]), *cells[end:]]
    return joined if joined[seed].strip().isdecimal() else None


def _lines(path: Path, flag: str) -> Table:
    """A prompt a line; `#` starts a comment line."""
    lines = (line.strip() for line in lines_of(read_any_text(path, flag)))
    rows = [{PROMPT[0]: line} for line in lines if line and not line.startswith("#")]
    return _numbered(f"{flag} {path}", rows, "prompt")


def _read_json(path: Path, flag: str) -> Table:
    """A list of objects or of texts, one or a line each; COCO's captions are in `annotations`."""
    where, text = f"{flag} {path}", read_any_text(path, flag)
    try:
        if path.suffix.lower() == ".json":
            found = parse(text)
        else:
            found = [parse(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not valid JSON: {error}") from error
    if isinstance(found, dict):
        lists = [found[name] for name in ("annotations", *PROMPT, "data") if name in found]
        found = lists[0] if lists else [found]
    if not isinstance(found, list) or not all(isinstance(each, dict | str) for each in found):
        raise UsageError(f"{where} is not a list of prompts, or of objects that have one each")
    rows = [each if isinstance(each, dict) else {PROMPT[0]: each} for each in found]
    table = _numbered(where, [dict(_cells(row)) for row in rows], "row")
    for row in table.rows:
        for name, cell in row.cells.items():
            # JSON can spell one, and no file can hold it.
            if any("\ud800" <= c <= "\udfff" for c in cell):
                raise row.error(name, "holds half of a surrogate pair; take it out")
    return table


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in row.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            yield name, ", ".join(value)
        elif isinstance(value, str):
            yield name, value
        else:
            yield name, "" if value is None else json.dumps(value)


def _numbered(where: str, rows: Iterable[Mapping[str, str]], noun: str) -> Table:
    """A table of rows that need not have the same columns."""
    rows = list(rows)
    if not rows:
        raise UsageError(f"{where} is empty: write one prompt a line")
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    # A row of JSON has the cells that it has: the others are empty.
    places = (f"{where}, {noun} {n}" for n in range(1, len(rows) + 1))
    found = (TableRow(at, defaultdict(str, row)) for at, row in zip(places, rows, strict=True))
    return Table(where, header, tuple(found))
