"""Lists of prompts as programs write them: ends of lines, marks, encodings, tables."""

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plumbing.errors import UsageError
from prompts.prompt_list import read_prompts

PROMPTS = ("a dog", "une \u00e9glise", "\u4e00\u53ea\u72d7")
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_mark_and_end_of_line(tmp_path: Path, encoding: str, end: str) -> None:
    file = tmp_path / "x.txt"
    text = f"# mine{end}{end.join(PROMPTS)}{end}{end} {PROMPTS[0]} {end}"
    file.write_bytes(ENCODINGS[encoding] + text.encode(encoding))
    assert read_prompts(file) == PROMPTS


@pytest.mark.parametrize("within", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e")
def test_nothing_but_the_end_of_a_line_ends_a_prompt(tmp_path: Path, within: str) -> None:
    (tmp_path / "x.txt").write_text(f"a dog{within}on a hill\na cat{within}\n", newline="")
    assert read_prompts(tmp_path / "x.txt") == ("a dog on a hill", "a cat")


@pytest.mark.parametrize(
    ("content", "line"),
    [("a dog\na d\xfcrer print\n".encode("latin-1"), 2), (b"a\r\nb\r\n\xff\r\n", 3)],
)
def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path, content: bytes, line: int) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(UsageError, match=rf"--retain-prompts: .*x\.txt is not UTF-8 \(line {line}"):
        read_prompts(tmp_path / "x.txt")


def test_utf16_without_its_mark_and_half_of_it_are_refused(tmp_path: Path) -> None:
    for content in ("a dog\n".encode("utf-16-le"), codecs.BOM_UTF16_LE + b"a\0b"):
        (tmp_path / "x.txt").write_bytes(content)
        with pytest.raises(UsageError, match=r"--retain-prompts.*x\.txt"):
            read_prompts(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", 'prompt,seed\na dog,1\n"a cat, a bird",2\n'),
        ("x.CSV", "\ufeffseed;Prompt\r\n1;a dog\r\n2;a cat, a bird\r\n"),
        ("x.tsv", "caption\tid\na dog\t1\na cat, a bird\t2\n"),
        ("x.jsonl", '{"prompt": "a dog"}\n{"prompt": "a cat, a bird"}\n'),
        ("x.txt", "a dog\na cat, a bird\n"),
    ],
)
def test_of_a_table_the_prompts_alone_are_taken(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_prompts(tmp_path / name) == ("a dog", "a cat, a bird")


def test_a_table_without_prompts_names_its_columns(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("name,seed\na dog,1\n")
    with pytest.raises(UsageError, match=r"--retain-prompts .*x\.csv has no column .*name, seed"):
        read_prompts(tmp_path / "x.csv")


@settings(max_examples=50)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1).filter(
            lambda text: text == text.strip() and text[0] not in "#\ufeff"
        ),
        min_size=1,
        unique=True,
    )
)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, prompts: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "list.txt"
    file.write_text("\n".join(prompts), encoding="utf-8", newline="")
    assert read_prompts(file) == tuple(prompts)
