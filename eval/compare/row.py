"""A run as a row of the table."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.report.data import RunData
from eval.verdict.verdict import Verdict
from plumbing.visible_text import plain


@dataclass(frozen=True)
class Row:
    """One run, and its place in the order that was given."""

    number: int
    data: RunData
    verdict: Verdict

    @property
    def label(self) -> str:
        """How texts call it."""
        return f"{self.number}. {plain(self.data.run.name, 60)}"


def name_rows(numbers: Sequence[int]) -> str:
    """`row 2`, or `rows 1, 2 and 4`."""
    *most, last = map(str, numbers)
    return f"rows {', '.join(most)} and {last}" if most else f"row {last}"
