"""Captions in every form that they come in: read right, or refused by the file's name and line."""

from __future__ import annotations

import codecs
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pictures import encoded, ramp

from erase.image_sets.captioned_folder import hash_captions, read_captions, read_pixels
from expunge.cli import main
from plumbing.csv_table import is_missing
from plumbing.errors import UsageError
from plumbing.visible_text import strange

FLAG = "--forget-data"
PICTURE = encoded(ramp("RGB"), "PNG")


def make(folder: Path, files: dict[str, str | bytes], *images: str) -> Path:
    """A folder with these texts, and pictures of these names, a.png if none is given."""
    for name in images or ("a.png",):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURE)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def captions(folder: Path) -> dict[str, str]:
    """What is read, by file."""
    return {p.relative_to(folder).as_posix(): t for p, t in read_captions(folder, FLAG).items()}


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, little": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}
FORMS = {
    "text file": ("a.txt", lambda text: text),
    "caption file": ("a.caption", lambda text: text),
    "file of the whole name": ("a.png.txt", lambda text: text),
    "file in capitals": ("A.TXT", lambda text: text),
    "text": ("metadata.jsonl", lambda text: jsonl({"file_name": "a.png", "text": text})),
    "caption": ("metadata.jsonl", lambda text: jsonl({"file_name": "a.png", "caption": text})),
    "prompt": ("metadata.jsonl", lambda text: jsonl({"prompt": text, "file_name": "a.png"})),
    "one in a list": ("metadata.jsonl", lambda text: jsonl({"file_name": "a.png", "text": [text]})),
    "table": ("metadata.csv", lambda text: f'file_name,text\na.png,"{text}"\n'),
    "captions' table": ("Metadata.CSV", lambda text: f'id,caption,file_name\n1,"{text}",a.png\n'),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", FORMS)
def test_a_caption_is_the_same_in_every_form_and_encoding(
    form: str, encoding: str, tmp_path: Path
) -> None:
    name, write = FORMS[form]
    text = "a church, Zürich 教会 ⛪"
    for end in ("", "\r\n", "\n\n", "\r\n\r\n"):
        content = write(text + end) if name[0] in "aA" else write(text).replace("\n", end or "\n")
        folder = make(tmp_path, {name: ENCODINGS[encoding](content)})
        assert captions(folder) == {"a.png": text}


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1).filter(lambda text: not is_missing(text) and not strange(text)))
def test_any_text_comes_back_from_any_table(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    table = io.StringIO()
    csv.writer(table).writerows([("file_name", "text"), ("a.png", text)])
    rows = jsonl({"file_name": "a.png", "text": text})
    bare = json.dumps({"file_name": "a.png", "text": text}, ensure_ascii=False)
    for name, content in (
        ("metadata.jsonl", rows),
        ("metadata.jsonl", bare),
        ("metadata.csv", table.getvalue()),
    ):
        assert captions(make(tmp_path_factory.mktemp("d"), {name: content})) == {"a.png": text}


def test_files_are_found_by_the_names_that_windows_and_macs_give(tmp_path: Path) -> None:
    """Letters' case, backslashes and composed accents; the very name goes first."""
    folder = make(tmp_path, {}, "Img/A.PNG", "e\u0301glise.png", "b.png", "B.png")
    names = ["img\\a.png", "\u00e9glise.PNG", "B.png", "./b.png"]
    rows = [{"file_name": name, "text": str(n)} for n, name in enumerate(names)]
    make(folder, {"metadata.jsonl": jsonl(*rows)}, "b.png")
    found = {"Img/A.PNG": "0", "e\u0301glise.png": "1", "B.png": "2", "b.png": "3"}
    assert captions(folder) == found


REFUSED: dict[str, tuple[dict[str, str | bytes], str]] = {
    "two rows": (
        {
            "metadata.jsonl": jsonl(
                {"file_name": "a.png", "text": "x"}, {"file_name": "A.png", "text": "y"}
            )
        },
        r"metadata\.jsonl, line 2: a\.png has a caption already, from line 1; keep one",
    ),
    "two rows of a CSV": (
        {"metadata.csv": "file_name,text\na.png,x\na.png,y\n"},
        r"row 2 \(line 3\): a\.png has a caption already, from row 1 \(line 2\); keep one",
    ),
    "null": (
        {"metadata.jsonl": jsonl({"file_name": "a.png", "text": None})},
        r"line 1, a\.png: has no caption",
    ),
    "an empty list": (
        {"metadata.jsonl": jsonl({"file_name": "a.png", "text": []})},
        r"line 1, a\.png: the caption is not a text but \[\]",
    ),
    "not a number": (
        {"metadata.jsonl": '{"file_name": "a.png", "text": NaN}'},
        "the caption is not a text but nan",
    ),
    "a mapping": (
        {"metadata.jsonl": jsonl({"file_name": "a.png", "text": {"en": "x"}})},
        "the caption is not a text but {'en': 'x'}",
    ),
    "null in a list": (
        {"metadata.jsonl": jsonl({"file_name": "a.png", "text": [None, "x"]})},
        "has no caption",
    ),
    "no text in a table": ({"metadata.csv": "file_name,text\na.png,\n"}, r"row 1 .*has no caption"),
    "no such column": (
        {"metadata.csv": "file_name,label\na.png,1\n"},
        "no column 'text'; its columns: file_name, label",
    ),
    "no name": ({"metadata.jsonl": jsonl({"image": "a.png", "text": "x"})}, "line 1: is not a"),
    "an array": ({"metadata.jsonl": '[{"file_name": "a.png", "text": "x"}]'}, "line 1: is not a"),
    "pretty JSON": ({"metadata.jsonl": '{\n"file_name": "a.png"\n}'}, "line 1: is not JSON"),
    "no such image": (
        {"metadata.jsonl": jsonl({"file_name": "b.png", "text": "x"})},
        r"b\.png is missing",
    ),
    "no such folder": (
        {"metadata.jsonl": jsonl({"file_name": "b/c.png", "text": "x"})},
        r"c\.png is missing",
    ),
    "nothing": ({"metadata.jsonl": "\n"}, "names no image"),
    "Parquet": ({"metadata.parquet": b"PAR1"}, r"is not read; save it as metadata\.jsonl or"),
    "an empty file": ({"a.txt": " \n"}, r"a\.txt: has no caption; write one"),
    "nothing of a data frame": ({"metadata.csv": "file_name,text\na.png,NaN\n"}, "no caption"),
    "no text in any encoding": ({"a.txt": b"\x81\xe9"}, r"a\.txt is not UTF-8 \(line 1, byte 0\)"),
    "Latin-1 in a table": (
        {"metadata.jsonl": b'{"file_name": "a.png", "text": "\xe9"}'},
        r"metadata\.jsonl is not UTF-8 \(line 1, byte 32\)",
    ),
    "UTF-16 without its mark": ({"a.txt": "a church".encode("utf-16-le")}, "it holds zero bytes"),
    "no caption": ({}, r"a\.png has no caption: a\.txt is missing, and there is no metadata"),
    "another's": ({"b.txt": "x"}, r"a\.png has no caption: a\.txt is missing"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_caption_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    files, told = REFUSED[kind]
    with pytest.raises(UsageError, match=told) as found:
        captions(make(tmp_path, files))
    assert str(found.value).startswith(FLAG) and "\n" not in str(found.value)
    assert str(tmp_path) in str(found.value)


@pytest.mark.parametrize("name", ["../b.png", "..\\b.png", "x/../../b.png", "~/b.png", "", 3, None])
def test_no_table_leads_out_of_its_folder(name: Any, tmp_path: Path) -> None:
    make(tmp_path, {}, "b.png")
    for given_name in (name, str(tmp_path / "b.png")):
        folder = make(
            tmp_path / "in", {"metadata.jsonl": jsonl({"file_name": given_name, "text": "x"})}
        )
        with pytest.raises(UsageError, match=r"line 1: .* is not in the folder"):
            captions(folder)


JSONL = {"metadata.jsonl": jsonl({"file_name": "a.png", "text": "x"})}
SEVERAL = {"metadata.jsonl": jsonl({"file_name": "a.png", "text": ["x", "y"]})}
TOLD: dict[str, tuple[dict[str, str | bytes], tuple[str, ...], str]] = {
    "captions in a list": (SEVERAL, ("a.png",), "of several captions of an image the first is"),
    "a table of some": (
        JSONL,
        ("a.png", "b.png", "c.jpg", "d.png", "e.png"),
        "images that it does not name: b.png, c.jpg, d.png and 1 more",
    ),
    "two tables": (
        {**JSONL, "metadata.csv": "?"},
        ("a.png",),
        "metadata.jsonl is read, and not metadata.csv",
    ),
    "a table and text files": (
        {**JSONL, "a.txt": "y"},
        ("a.png",),
        "is read, and not the text files beside images: a.png",
    ),
    "a text without an image": (
        {"a.txt": "x", "b.txt": "y", "c.caption": "z", "._a.txt": "?"},
        ("a.png",),
        "text files not used: b.txt, c.caption",
    ),
    "two texts": ({"a.txt": "x", "a.caption": "y"}, ("a.png",), "not used: a.caption"),
    "two images of one stem": (
        {"a.txt": "x"},
        ("a.png", "a.jpg"),
        "several images have one caption file: a.txt (a.jpg a.png)",
    ),
    "several lines": (
        {"a.txt": "x\r\ny\n"},
        ("a.png",),
        "all lines of a caption file are one caption: a.png",
    ),
    "Windows' own encoding": (
        {"a.txt": "x".encode("cp1252"), "b.txt": b"x\xe9"},
        ("a.png", "b.png"),
        "b.txt is not UTF-8: read as Windows-1252",
    ),
    "images of other kinds": (
        {"a.txt": "x", "b.heic": "?"},
        ("a.png",),
        "1 .heic (convert to PNG or JPEG) not read",
    ),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_may_be_a_slip_is_read_and_told(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, images, told = TOLD[kind]
    texts = {"several lines": {"x\ny"}, "Windows' own encoding": {"x", "xé"}}.get(kind, {"x"})
    assert set(captions(make(tmp_path, files, *images)).values()) == texts
    assert len(caplog.messages) == 1 and told in caplog.text and str(tmp_path) in caplog.text


def test_of_an_ordinary_folder_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "a", {"a.txt": "x", "b.txt": "y", ".DS_Store": "?"}, "a.png", "b.png")
    make(tmp_path / "b", JSONL)
    make(tmp_path / "c", {"a.caption": "x"})
    assert [len(captions(tmp_path / name)) for name in "abc"] == [2, 1, 1]
    assert caplog.messages == []


@pytest.mark.parametrize("command", ["erase", "mask"])
def test_a_damaged_image_is_refused_before_anything_is_written(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One whose beginning is sound: only who reads all of it knows."""
    folder = make(tmp_path / "data", {"a.txt": "a church", "b.txt": "a church"}, "a.png", "b.png")
    (folder / "b.png").write_bytes(PICTURE[:-60])
    assert len(captions(folder)) == 2
    out = tmp_path / "out"
    assert main([command, "church", FLAG, str(folder), "--out", str(out)]) == 2
    assert f"{FLAG} {folder}/b.png is not a readable image" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_hash_is_of_names_bytes_and_captions(tmp_path: Path) -> None:
    """The same as ever: a run that was begun before goes on."""
    folder = make(tmp_path, {"a.txt": "a church\n"})
    (folder / "a.png").write_bytes(b"\x89PNG")
    known = "a42d1f3f137a032e1949ef227de90f1e21f928aa"
    assert hash_captions({folder / "a.png": "a church"})[:40] == known


def test_pixels_are_from_minus_one_to_one_about_the_centre(tmp_path: Path) -> None:
    make(tmp_path, {})
    pixels = read_pixels(tmp_path / "a.png", FLAG, 32)
    assert pixels.shape == (3, 32, 32) and abs(float(pixels.mean())) < 0.01
    assert float(pixels.min()) > -0.6 and float(pixels.max()) < 0.6
