"""The report's figures as Markdown, for papers and model cards."""

from collections.abc import Iterable, Sequence

from eval.kind.table import Table
from eval.report.data import RunData
from eval.report.story import commands, headline, incomparable, not_measured, probes, protocols
from eval.report.tables import comparison_table, tables
from eval.verdict.verdict import Verdict
from plumbing.visible_text import escape_markdown, plain

_LONGEST = 1000


def render_markdown(runs: Sequence[RunData], verdicts: Sequence[Verdict]) -> str:
    """Verdict, tables and protocol of one run; several side by side in one table."""
    if len(runs) == 1:
        blocks = _run(runs[0], verdicts[0])
    else:
        blocks = [f"# {len(runs)} runs side by side", _table(comparison_table(runs, verdicts))]
        blocks += _bullets(incomparable(runs))
        for number, (data, verdict) in enumerate(zip(runs, verdicts, strict=True), 1):
            blocks.append(f"## {number}\\. {_text(data.run.name)}: {_text(headline(data))}")
            blocks += _summary(data, verdict)
    return "\n\n".join(blocks) + "\n"


def _run(data: RunData, verdict: Verdict) -> list[str]:
    blocks = [f"# {_text(headline(data))}", *_summary(data, verdict)]
    for table in tables(data):
        blocks += [_table(table), *_bullets(table.notes)]
    blocks += _bullets(probes(data))
    blocks += ["Not measured:", *_bullets(not_measured(data))]
    return blocks


def _summary(data: RunData, verdict: Verdict) -> list[str]:
    """The verdict, the protocol and the commands."""
    blocks = [f"**{_text(verdict.word)}.** {_text(verdict.sentence)}", *_bullets(verdict.remarks)]
    blocks += [f"Protocol: {_text(line)}" for line in protocols(data)]
    if lines := commands(data):
        # Four blanks make a code block that no content can end.
        blocks.append("\n".join("    " + plain(line, _LONGEST) for line in lines))
    return blocks


def _table(table: Table) -> str:
    """A pipe table below its caption."""
    rows = [table.columns, *table.rows]
    head, *body = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    rule = "|" + "|".join([":--", *["--:"] * (len(table.columns) - 1)]) + "|"
    return "\n".join([f"{_text(table.caption)}:", "", head, rule, *body])


def _bullets(lines: Iterable[str]) -> list[str]:
    found = [f"- {_text(line)}" for line in lines]
    return ["\n".join(found)] if found else []


def _text(text: object) -> str:
    return escape_markdown(text, _LONGEST)
