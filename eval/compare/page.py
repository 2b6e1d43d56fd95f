"""The comparison as one page that needs nothing else, and as Markdown; no torch."""

from typing import Any

from eval.compare.chart import draw_plane
from eval.compare.compared import Compared
from eval.report.markdown import bullets, pipe_table, summary
from eval.report.page import environment, story
from eval.report.story import headline
from plumbing.visible_text import escape_markdown


def render_html(found: Compared) -> str:
    """The page: what is not alike, the standing, the chart, the table; then each run."""
    stories = [story(row.data) for row in found.rows]
    content: dict[str, Any] = {
        "title": _title(found),
        "differences": found.differences,
        "standing": found.standing,
        "table": found.table,
        "notes": found.notes,
        "charts": draw_plane(found.plane),
        "rules": stories[0]["rules"],
        "runs": stories,
    }
    return environment().get_template("comparison.html.j2").render(**content)


def render_markdown(found: Compared) -> str:
    """The same without the chart."""
    blocks = [f"# {_title(found)}"]
    if found.differences:
        blocks += ["**NOT THE SAME TEST.** Compare with care:", *bullets(found.differences)]
    blocks += [*bullets(found.standing), pipe_table(found.table)]
    blocks += bullets(
        ": ".join(filter(None, (f"({n.letter}) {n.why}", n.command))) for n in found.notes
    )
    for row in found.rows:
        name = escape_markdown(row.data.run.name, 200)
        blocks.append(f"## {row.number}\\. {name}: {escape_markdown(headline(row.data), 200)}")
        blocks += summary(row.data, row.verdict)
    return "\n\n".join(blocks) + "\n"


def _title(found: Compared) -> str:
    return f"{len(found.rows)} runs side by side"
