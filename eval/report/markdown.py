"""The report's figures as Markdown, for papers and model cards."""

from collections.abc import Iterable

from eval.kind.table import Table
from eval.report.data import RunData
from eval.report.story import commands, headline, not_measured, probes, protocols
from eval.report.tables import tables
from eval.verdict.verdict import Verdict
from plumbing.visible_text import escape_markdown, plain

_LONGEST = 1000


def render_markdown(data: RunData, verdict: Verdict) -> str:
    """Verdict, tables and protocol of a run."""
    blocks = [f"# {_text(headline(data))}", *summary(data, verdict)]
    for table in tables(data):
        blocks += [pipe_table(table), *bullets(table.notes)]
    blocks += bullets(probes(data))
    blocks += ["Not measured:", *bullets(not_measured(data))]
    return "\n\n".join(blocks) + "\n"


def summary(data: RunData, verdict: Verdict) -> list[str]:
    """The verdict, the protocol and the commands of a run."""
    blocks = [f"**{_text(verdict.word)}.** {_text(verdict.sentence)}", *bullets(verdict.remarks)]
    blocks += [f"Protocol: {_text(line)}" for line in protocols(data)]
    if lines := commands(data):
        # Four blanks make a code block that no content can end.
        blocks.append("\n".join("    " + plain(line, _LONGEST) for line in lines))
    return blocks


def pipe_table(table: Table) -> str:
    """A pipe table below its caption."""
    rows = [table.columns, *table.rows]
    head, *body = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    rule = "|" + "|".join([":--", *["--:"] * (len(table.columns) - 1)]) + "|"
    return "\n".join([f"{_text(table.caption)}:", "", head, rule, *body])


def bullets(lines: Iterable[str]) -> list[str]:
    """Lines as one list; nothing of none."""
    found = [f"- {_text(line)}" for line in lines]
    return ["\n".join(found)] if found else []


def _text(text: object) -> str:
    return escape_markdown(text, _LONGEST)
