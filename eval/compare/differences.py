"""Why figures of several runs should not be set against each other without a thought."""

from collections.abc import Iterator, Sequence
from itertools import chain

from eval.compare.row import Row, name_rows
from eval.kind.comparison import Setting
from eval.kind.kind import Kind
from plumbing.visible_text import plain

PROMPTS = "prompts"
"""Their hash differs with the concept, the seed and the protocol, which are told instead."""


def differences(rows: Sequence[Row]) -> list[str]:
    """A line for each thing that is not alike; empty if all figures can be compared.

    Compared are the original model, the concept, and how each kind of evaluation was made; what a
    run has not is no difference.
    """
    bases = [row.data.run.base for row in rows]
    original: list[Setting] = [
        {"name": base.id or "unnamed", "sha256": base.digest} if base.digest else "unknown"
        for base in bases
    ]
    found = [*_line("original model", original, rows)]
    found += _line("concept", [row.data.run.concept for row in rows], rows)
    kinds = [kind for kind in rows[0].data.kinds if kind.comparison]
    return found + [line for kind in kinds for line in _of_kind(kind, rows)]


def _of_kind(kind: Kind, rows: Sequence[Row]) -> list[str]:
    comparison, measured = kind.comparison, [(row, row.data.find(kind)) for row in rows]
    own = [(row, comparison.settings(m.evaluation)) for row, m in measured if m and comparison]
    names = dict.fromkeys(chain(*(settings for _, settings in own)))
    lines = [
        line
        for name in names
        if name != PROMPTS
        for line in _line(
            f"{kind.title}, {name}", [s.get(name) for _, s in own], [r for r, _ in own]
        )
    ]
    alike = len({row.data.run.concept for row, _ in own}) == 1 and not lines
    hashes = [settings.get(PROMPTS) for _, settings in own]
    return [*_line(f"{kind.title}, prompts", hashes, [r for r, _ in own])] if alike else lines


def _line(subject: str, values: Sequence[Setting | None], rows: Sequence[Row]) -> Iterator[str]:
    """`Concept, steps: 25 in rows 1 and 3; 10 in row 2`, if they differ."""
    groups: dict[str, tuple[str, list[int]]] = {}
    for value, row in zip(values, rows, strict=True):
        if value is not None:
            groups.setdefault(_identity(value), (_shown(value), []))[1].append(row.number)
    if len(groups) > 1:
        told = (f"{text} in {name_rows(numbers)}" for text, numbers in groups.values())
        yield f"{plain(subject, 80)}: {'; '.join(told)}"


def _identity(value: Setting) -> str:
    return value if isinstance(value, str) else value["sha256"]


def _shown(value: Setting) -> str:
    if isinstance(value, str):
        return plain(value, 80)
    return f"{plain(value['name'], 60)} ({plain(value['sha256'][:12])})"
