"""A table of results as plain text, whoever prints it: the page, the Markdown, the terminal."""

from dataclasses import dataclass

from eval.metrics.rates import Difference


@dataclass(frozen=True)
class Table:
    """Rows whose first cell names them."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def moved(change: Difference | None) -> str:
    """A change as `+1.2 [-0.3, +2.7]`, or a dash."""
    if change is None:
        return "-"
    low, high = change.ci95
    return f"{change.value:+.1f} [{low:+.1f}, {high:+.1f}]"
