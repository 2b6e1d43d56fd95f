"""Where the command line runs: homes, streams, widths and locales that not every machine has."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expunge.cli import main
from expunge.parsing import parse
from expunge.settings.export import Export
from expunge.settings.given import made_of
from plumbing.errors import UsageError
from plumbing.home import at_home, find_home, require_home
from plumbing.visible_text import homes

NOBODY = (
    "import os, pwd, sys\nos.environ.pop('HOME', None)\nos.environ.pop('USER', None)\n"
    "def unknown(user): raise KeyError(user)\npwd.getpwuid = unknown\n"
)


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `E` is the command."""
    line = line.replace("E ", f"{sys.executable} -m expunge ")
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("form", ["--out={}", "--retain-prompts={}", "--model={}", "--config={}"])
def test_a_home_is_meant_in_every_form(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves `~` as it is after a sign of equality."""
    monkeypatch.setenv("HOME", "/home/of/anna")
    words = ["church", form.format("~/x y"), "--relabel", "a ~ b"]
    whole = ["church", form.format("/home/of/anna/x y"), "--relabel", "a ~ b"]
    assert parse(("erase",), words) == parse(("erase",), whole)
    spaced = [word for word in words for word in word.split("=")]
    assert parse(("erase",), spaced) == parse(("erase",), whole)


def test_a_home_is_meant_in_positions_and_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert parse(("evaluate", "concept"), ["~/run"]).target == "/h/run"
    assert parse(("compare",), ["~/a", "~/b", "--out=~/c"]).runs == (Path("/h/a"), Path("/h/b"))
    assert parse(("erase",), ["~/mine.toml", "~"]).concepts == ("/h/mine.toml", "/h")
    assert parse(("export",), ["./~", "--to", "~nobodyhere/x"]).target == Path("~")
    made = made_of(Export, {"target": Path("~/run"), "to": "~/x"})
    assert (made.target, made.to) == (Path("/h/run"), Path("/h/x"))


def test_without_a_home_there_is_another_and_none_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(user: int) -> Any:
        raise KeyError(user)

    import pwd
    import tempfile

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert find_home() is None and homes() == []
    with pytest.raises(UsageError, match="there is no home folder"):
        at_home("~/x")
    assert main(["report", "--to=~/x", "r"]) == 2
    # What another user could have put there is not taken.
    planted = tmp_path / f"expunge-home-{os.getuid()}"
    planted.symlink_to(tmp_path)
    monkeypatch.setenv("USER", "")
    require_home()
    found = find_home()
    assert found and found.parent == tmp_path and found != planted
    assert found.stat().st_mode & 0o777 == 0o700 and str(found) in caplog.text
    planted.unlink()
    monkeypatch.delenv("HOME")
    for _ in range(2):
        require_home()
        assert find_home() == planted and os.environ["USER"] == "nobody"
        monkeypatch.delenv("HOME")


def test_a_run_needs_no_home(model_folder: Path, tmp_path: Path) -> None:
    """Nor do the libraries that it loads, and no folder called ~ appears."""
    words = f"erase church --model {model_folder} --out run --forget-images 2 --retain-images 2"
    words += " --inference-steps 1 --batch-size 2 --steps 1 --no-guard --device cpu"
    code = f"{NOBODY}from expunge.cli import main\nsys.exit(main({words.split()!r}))"
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "there is no home folder" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"run", "tmp"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("E --help >&-", 0),
        ("E --help >&- 2>&- <&-", 0),
        ("E erase >&- 2>&- <&-", 2),
        ("E erase --nope 2>/dev/full", 2),
        ("E --help >/dev/full", 2),
    ],
)
def test_a_closed_or_full_stream_is_no_traceback(line: str, code: int) -> None:
    done = shell(line)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr and done.stderr.count("\n") <= 1


def test_a_file_does_not_become_a_closed_stream(tmp_path: Path) -> None:
    """What is printed must not land in the first file that is opened."""
    code = (
        "import sys; from expunge.console import open_streams, tell; open_streams()\n"
        f"with open({str(tmp_path / 'f')!r}, 'w') as file:\n"
        "    assert file.fileno() > 2; print('out'); tell('told'); import os; os.write(1, b'raw')\n"
    )
    shell(f"{sys.executable} -c {shlex.quote(code)} >&- 2>&- <&-")
    assert (tmp_path / "f").read_bytes() == b""


@pytest.mark.parametrize("columns", ["0", "1", "7", "abc", "100000"])
def test_help_has_an_end_whatever_the_width(columns: str) -> None:
    done = shell("E report --help", COLUMNS=columns)
    assert done.returncode == 0 and "--format" in done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=str,
)
def test_names_that_a_locale_has_not(environment: dict[str, str]) -> None:
    done = shell("E report 'été ⛪'", **environment)
    assert done.returncode == 2 and done.stderr.startswith("expunge: error: ")
    assert done.stderr.count("\n") == 1


def test_bytes_that_are_no_text_are_one_line() -> None:
    done = shell(r"E report $'\xff'")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "holds bytes that are no text" in done.stderr
    for words in (["erase", "a", "--out", "\udcff"], ["mask", "a", "--retain-prompts=\udcff"]):
        assert main(words) == 2
