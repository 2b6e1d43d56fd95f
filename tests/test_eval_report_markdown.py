"""Markdown: the same figures as the page, and no text can leave its cell."""

from pathlib import Path

import pytest
from support.report_runs import add_concept, add_i2p, add_quality, make_run

from expunge.cli import main
from plumbing.visible_text import escape_markdown


def markdown(run: Path) -> str:
    to = run.parent / "out.md"
    assert main(["report", str(run), "--format", "md", "--to", str(to)]) == 0
    return to.read_text(encoding="utf-8")


def test_tables_verdict_and_protocol(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run, images=100)
    add_i2p(run)
    add_quality(run)
    text = markdown(run)
    assert "**Erased at its prompts, depth not tested.** " in text
    row = "| ua: forget prompts no longer drawn as the concept | 100 | 1.0 \\[0.2, 5.4\\] |"
    assert f"{row} 100.0 \\[96.3, 100.0\\] | +99.0 \\[+93.2, +99.8\\] |" in text
    assert (
        "| score from 0.25 | 30 | 40.0" in text and "| CMMD to original | lower | 12 | - |" in text
    )
    assert "Protocol: Concept: protocol full, 300 images a model, seed 0, ddim in 25 steps" in text
    assert "the safety checker is off while measuring" in text
    assert "    expunge erase church --model miniature" in text
    assert "rests on the miniature alone" in text


def test_the_default_file_lies_in_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert main(["report", str(run), "--format", "md"]) == 0
    assert (run / "report.md").is_file()


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("![x](http://a.b/c)", "\\!\\[x\\](http\\://a.b/c)"),
        ("[x](javascript:1)", "\\[x\\](javascript:1)"),
        ("see HTTPS://a.b and www.c.d", "see HTTPS\\://a.b and www\\.c.d"),
        ("line\nbreak\r\n\ttab", "line break tab"),
        ("nul \0 bell \a turn \u202e", "nul \ufffd bell \ufffd turn \ufffd"),
        ("&lt;", "&amp;lt;"),
        ("*a* _b_ `c`", "\\*a\\* \\_b\\_ \\`c\\`"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_text_stays_text(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped
