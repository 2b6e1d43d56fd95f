"""Every command that readers are shown is one: in reports, messages, the README and the docs."""

import ast
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import tyro
from hypothesis import given, reject
from hypothesis import settings as budget
from hypothesis import strategies as st

import expunge
from expunge.command_table import COMMANDS
from expunge.commands.erase import _table
from expunge.parsing import flags_of, markers, parse, settings_of
from expunge.settings.given import made_of
from expunge.settings.groups import fields_of
from expunge.settings.methods import METHODS
from expunge.words import command_of
from plumbing.errors import UsageError

ROOT = Path(expunge.__file__).parents[1]
SOURCES = [
    path for room in ("erase", "eval", "expunge", "plumbing", "prompts")
    for path in sorted((ROOT / room).rglob("*.py"))
]  # fmt: skip
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FIELDS = {field for name in COMMANDS for _, field in flags_of(settings_of(name))}
FIELDS |= {
    field
    for method in METHODS
    for _, field in flags_of(settings_of(("erase",), ("--method", method)))
}
EVERY = {f"--{field.replace('_', '-')}" for field in FIELDS}
OTHERS = {"--help", "--version", "--num_processes", "--include", "--local-dir", "--tyro", "--flag"}
"""Flags of other programs, and those that every command has."""

WORDS = ("church", "a dog's life", 'say "so"', "été ⛪", "$HOME `x` \\", "x*? a=b")
SIGNED = (*WORDS, "-1 of them", "--so")
PATHS = ("a b/c.txt", "~x/y", "/tmp/é'\"", "r")
PLAIN = {
    bool: (False, True),
    int: (1, 2, 16, 5000),
    float: (0.25, 1.0, 1e-05, 7.5),
    type(None): (None,),
}


def values(hint: Any, positional: bool) -> st.SearchStrategy[Any]:
    """What a flag's type allows; a word without a flag cannot begin like one."""
    if hasattr(hint, "__metadata__"):
        return values(get_args(hint)[0], positional)
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(inner)
    if get_origin(hint) is tuple:
        items = values(inner[0], positional)
        return st.lists(items, min_size=1, max_size=2, unique=True).map(tuple)
    if inner:
        return st.one_of(*(values(each, positional) for each in inner))
    if hint is Path:
        return st.sampled_from(PATHS if positional else (*PATHS, "-run")).map(Path)
    texts = WORDS if positional else SIGNED
    return st.sampled_from(texts if hint is str else PLAIN[hint])


def commands() -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """Every command with what is given first: `erase` by each method and preset."""
    methods = [(("erase",), {"method": method}) for method in METHODS]
    presets = [
        (("erase",), {"method": method, "preset": preset})
        for method, entry in METHODS.items()
        for preset in entry.presets
    ]
    return [*((name, {}) for name in COMMANDS if name != ("erase",)), *methods, *presets]


@given(st.data())
@budget(max_examples=60)
def test_words_of_settings_are_taken_back_for_them(data: st.DataObject) -> None:
    """Of every command, method and preset: blanks, quotes, signs, nothing, several."""
    name, first = data.draw(st.sampled_from(commands()))
    settings = settings_of(name, ("--method", first.get("method", "salun")))
    hints = {
        field: get_type_hints(owner, include_extras=True)[field]
        for owner, field in fields_of(settings)
    }
    needed = [n for n in hints if tyro.conf.Positional in markers(hints[n]) or n in NEEDED[name]]
    chosen = data.draw(st.lists(st.sampled_from(sorted(hints)), max_size=4))
    flags: dict[str, Any] = {}
    for field in dict.fromkeys([*needed, *chosen]):
        positional = tyro.conf.Positional in markers(hints[field])
        flags[field] = data.draw(values(hints[field], positional), label=field)
    try:
        made = made_of(settings, flags | first)
    except UsageError:
        reject()
    line = command_of(name, made)
    assert parse(name, shlex.split(line)[1 + len(name) :]) == made, line


NEEDED = defaultdict(tuple, {("apply",): ("to",), ("undo",): ("to", "delta")})


def require_known(line: str) -> None:
    """A whole command is taken as it is; of a shortened one all that is there must be known."""
    words = shlex.split(line, comments=True)[1:]
    name = next((n for n in COMMANDS if tuple(words[: len(n)]) == n), None)
    if name is None:
        known = ("evaluate", "--version", "--help", "COMMAND")
        assert words[0] in known, f"no such command: {line}"
        return
    said = ""
    try:
        parse(name, [word for word in words[len(name) :] if word != "--help"])
    except UsageError as error:
        said = str(error)
    # What a text goes on to tell of may be left out.
    assert not said or "is missing" in said or "Missing value" in said, f"{line}: {said}"


BEFORE = "accelerate launch .*-m |python -m "


def fenced(text: str) -> Iterator[str]:
    """The commands in blocks, of which each must be whole."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(
                r"(?:\$ )?(?:accelerate launch .*-m |python -m )?(expunge .*)", line
            ):
                yield found[1]


def inline(text: str) -> Iterator[str]:
    """The commands between backticks, which may go over the end of a line."""
    outside = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(r"`(?:python -m )?(expunge [^`]*)`", outside):
        yield " ".join(found.split())


def is_shortened(line: str) -> bool:
    """Whether it says that something is left out."""
    return "…" in line or "..." in line or "<" in line or "NAME" in line


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_of_the_docs_is_one(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for line in fenced(text):
        words = shlex.split(line, comments=True)[1:]
        name = next(n for n in COMMANDS if tuple(words[: len(n)]) == n)
        parse(name, words[len(name) :])
    for line in inline(text):
        if not is_shortened(line):
            require_known(line)


def test_few_commands_are_shortened_and_many_are_tried() -> None:
    texts = [path.read_text(encoding="utf-8") for path in DOCS]
    lines = [line for text in texts for line in (*fenced(text), *inline(text))]
    assert len(lines) > 40 and sum(map(is_shortened, lines)) <= 3


def literals(path: Path) -> Iterator[str]:
    """Every text in a source, what is put into it at run time as X."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(getattr(v, "value", "")) if isinstance(v, ast.Constant) else "X"
                for v in node.values
            )
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts
        ):
            yield node.value


def test_every_command_and_flag_of_a_message_is_one() -> None:
    """What an error, a log line, a card or a help text names is there to be given."""
    tried = 0
    for path in SOURCES:
        for text in literals(path):
            for line in inline(text):
                tried += 1
                if not is_shortened(line):
                    require_known(line)
            for flag in re.findall(r"(?<![\w(-])--[a-z][a-z0-9_-]*", text):
                assert flag.rstrip("-") in EVERY | OTHERS, f"{path.name}: {flag}"
    assert tried > 20


@pytest.mark.parametrize("out", ["runs/church", "my runs/a dog's", "$HOME"])
def test_the_next_step_that_is_printed_is_one(out: str) -> None:
    record = {
        "mask": {"kept": 1, "total": 2}, "seconds": {"train": 1.0}, "passes": {}, "out": out,
        "config": {}, "concept": {"name": "church"}, "base": {"id": "m"}, "peak_memory_mb": 1.0,
    }  # fmt: skip
    for stopped in (None, {"step": 4, "kept_step": 0}):
        last = (
            _table(record | {"stopped": stopped})
            .splitlines()[-1]
            .removeprefix("            next  ")
        )
        words = shlex.split(last)[1:]
        found = parse(
            *(
                (tuple(words[:2]), words[2:])
                if words[0] == "evaluate"
                else (tuple(words[:1]), words[1:])
            )
        )
        assert out in (getattr(found, "target", None), *map(str, getattr(found, "runs", ())))
