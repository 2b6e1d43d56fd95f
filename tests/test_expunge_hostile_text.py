"""Texts of strangers: nothing in them steers a terminal, a page, a table or the place of a file."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.erased_runs import SHORT, MakeRun
from support.files import tree
from support.pages import Page
from support.report_runs import add_concept
from support.report_runs import make_run as make_report_run

from erase.export.card import CardFacts, model_card
from erase.run_folder.record import Base
from eval.generation.image_log import Generation, read_generations, write_generations
from expunge.cli import main
from expunge.console import Discreet, Visible
from expunge.evaluations.quality import evaluate_quality
from expunge.runs.plan import default_out
from expunge.settings.evaluate import EvaluateQuality
from plumbing.errors import UsageError
from plumbing.visible_text import escape_markdown, hidden, plain
from prompts.concept import load_concept
from prompts.prompt_list import read_prompts

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x1b[31m"
MARKUP = "<script>owned</script><img src=x onerror=owned()>"
SCRIPTS = ("教会", "كنيسة", "כנסייה", "церковь", "⛪ tower", "e\u0301glise", "می‌خواهم")
FORMULAS = ("=1+1", "+cmd|'/c calc'!A1", "-2", "@SUM(A1)", "a|b\n|--|--|")


@pytest.mark.parametrize("text", [f"a {ESCAPE}", "a\0b", "a\ud800", "a\x9bb", "\x7fa"])
def test_no_concept_is_named_with_control_characters(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", text, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "CONCEPT holds U+" in error and error.count("\n") == 1
    assert not any(map(hidden, error.replace("\n", "")))
    assert list(tmp_path.iterdir()) == []


def test_names_are_of_a_readable_length_and_prompts_of_any(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="100,000 characters long"):
        load_concept("x" * 100_000)
    long = "a church " + "x" * 100_000
    (tmp_path / "x.toml").write_text(f'name = "church"\nforget = ["{long}"]\n')
    assert load_concept(str(tmp_path / "x.toml")).forget_prompts == (long,)
    (tmp_path / "x.toml").write_text('name = "church"\nforget = ["\\u001b[2J"]\n')
    with pytest.raises(UsageError, match=r"forget .* holds U\+001B"):
        load_concept(str(tmp_path / "x.toml"))
    (tmp_path / "x.txt").write_text(f"a church\na {ESCAPE}\n")
    with pytest.raises(UsageError, match=r"holds U\+001B"):
        read_prompts(tmp_path / "x.txt")


@pytest.mark.parametrize("name", SCRIPTS)
def test_other_scripts_are_names(name: str) -> None:
    assert load_concept(name).name == name


@given(st.text(min_size=1, max_size=60) | st.sampled_from(["../../x", "/etc", "..", "a/b\\c", "~"]))
def test_a_folder_made_of_a_name_is_one_below_runs(name: str) -> None:
    out = default_out("", name, {"name": name.encode("utf-8", "replace").hex()})
    assert out.parent == Path("runs") and out.name not in ("", ".", "..")
    assert out.name.isascii() and len(out.name) < 60


@given(st.text(max_size=40))
def test_what_is_printed_steers_no_terminal(text: str) -> None:
    stream = io.StringIO()
    print(text, file=Visible(stream))
    record = logging.LogRecord("erase", logging.INFO, "", 0, "%s", (text,), None)
    for shown in (stream.getvalue(), Discreet("%(message)s").format(record)):
        assert not any(hidden(c) for c in shown if c not in "\n\t")
        shown.encode()


def test_a_results_table_shows_escapes_instead_of_obeying(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_report_run(tmp_path / "run", f"church {ESCAPE}{MARKUP}", base=ESCAPE)
    add_concept(run, prompts=[f"{ESCAPE}{MARKUP}"])
    assert main(["report", str(run), "--format", "md"]) == 0
    captured = capsys.readouterr()
    text = (run / "report.md").read_text()
    for shown in (captured.out, captured.err, text):
        assert not any(hidden(c) for c in shown if c not in "\n\t\r")
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    assert "<script" not in prose and "<img" not in prose


@pytest.mark.parametrize("form", ["html", "md", "json"])
def test_a_comparison_shows_escapes_instead_of_obeying(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In names of folders, concepts, models, judges and methods, in settings, notes and prompts."""
    hostile = f"{ESCAPE}{MARKUP} |`\n# x"
    runs = [
        make_report_run(tmp_path / f"{MARKUP.replace('/', '')}{n}", f"church {hostile}{n}",
                        base=hostile * n, method=hostile, config={"seed": n, "mask": hostile * n})
        for n in (1, 2)
    ]  # fmt: skip
    for run in runs:
        add_concept(run, prompts=[hostile], name=hostile)
        file = run / "eval" / "concept" / "evaluation.json"
        found = json.loads(file.read_text())
        found["judges"]["object"]["name"] = hostile
        found["erased"] |= {"substitute": None, "ira": None}
        found["notes"] = {"substitute": hostile, "ira": hostile, hostile: hostile}
        file.write_text(json.dumps(found))
    to = tmp_path / "page"
    assert main(["compare", *map(str, runs), "--format", form, "--out", str(to)]) == 0
    captured, text = capsys.readouterr(), to.read_text(encoding="utf-8")
    for shown in (captured.out, captured.err, text):
        assert not any(hidden(c) for c in shown if c not in "\n\t\r")
    if form == "html":
        page = Page(text)
        assert page.open == [] and page.all("script") == []
        assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
        assert "<script>owned</script>" in page.text
    elif form == "md":
        prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
        assert "<script" not in prose and "<img" not in prose
        rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1
    else:
        assert not any(map(hidden, json.dumps(json.loads(text), ensure_ascii=False)))


@pytest.mark.parametrize("text", [*FORMULAS, MARKUP, "[a](javascript:x)", "![a](http://x/y.png)"])
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    """No cell, link, picture or element comes of it. Tables for spreadsheets are not written."""
    shown = escape_markdown(text)
    assert "<" not in shown and "\n" not in shown and "](" not in shown.replace("\\]", "")
    assert "|" not in shown.replace("\\|", "")


def test_a_card_holds_no_markup_of_a_stranger() -> None:
    base = Base(f"x` {MARKUP} |`\n# owned", digest="0", files={f"`{MARKUP}|": "0"})
    card = model_card("# A report", CardFacts(base, 1.0, "float32", True, "0"))
    assert "<script" not in card and "\n# owned" not in card and "`x` " not in card


def test_prompts_of_any_kind_are_drawn_and_change_no_other_file(
    make_run: MakeRun, tmp_path: Path, clip_folder: Path
) -> None:
    """Ends of lines that only some readers take for such are among them."""
    file = tmp_path / "prompts.csv"
    texts = [*SCRIPTS, *FORMULAS[:4], MARKUP, "../../outside", "a" * 100_000, "\u202eevil", "a\\b"]
    file.write_text("\n".join(texts), encoding="utf-8")
    run = make_run()
    before = tree(tmp_path)
    flags = {"steps": 1, "device": "cpu", "clip": str(clip_folder), "images": len(texts)}
    _, out = evaluate_quality(EvaluateQuality(target=str(run), prompts=file, **flags))
    drawn = [json.loads(t) for t in (out / "similarities.jsonl").read_text().split("\n")[:-1]]
    assert [line["prompt"] for line in drawn] == texts
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "<script" not in page and "onerror=owned()>" not in page
    made = tree(tmp_path).keys() - before.keys()
    places = ("runs/run/eval/", "runs/.originals/", "runs/run/report.html")
    assert all(name.startswith(places) for name in made)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_no_end_of_a_line_within_a_prompt_loses_an_image(end: str, tmp_path: Path) -> None:
    """With `splitlines` such an image counted as never drawn, and the evaluation ended there."""
    image = tmp_path / "images" / "00000.png"
    image.parent.mkdir()
    image.write_bytes(b"x")
    sha = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    size = {"width": 8, "height": 8, "dtype": "float32", "model": "m", "sha256": sha}
    drawn = Generation("00000", f"a{end}b", 1, "ddim", 1, 5.0, **size, seconds=0.1)
    write_generations(tmp_path, [drawn])
    assert read_generations(tmp_path) == {"00000": drawn}


def test_captions_stay_in_their_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for row in ({"file_name": "../x.png"}, {"file_name": "/x.png"}, {"file_name": "a", "text": 1}):
        text = json.dumps({"text": "a", **row}) + "\n"
        (folder / "metadata.jsonl").write_text(text)
        words = ["erase", "church", "--retain-data", str(folder), *SHORT]
        assert main([*words, "--out", str(tmp_path / "out")]) == 2
        assert str(folder) in capsys.readouterr().err
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "\\ud800"}')
    assert main(["erase", "church", "--retain-data", str(folder)]) == 2
    assert "U+D800" in capsys.readouterr().err


@pytest.mark.parametrize("text", [ESCAPE, "a\ud800b", "\u202ea", "\0"])
def test_plain_text_is_plain(text: str) -> None:
    assert not any(map(hidden, plain(text)))
