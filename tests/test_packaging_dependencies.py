"""What the packages import is what users get: the tests have more installed than they need."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OTHER_NAMES = {"pil": "pillow", "huggingface_hub": "huggingface-hub"}
COME_WITH = {"markupsafe": "jinja2"}
"""A package that another always brings."""
ASKED_FOR = {"torch_fidelity": "eval/quality/inception.py"}
"""An extra's, and the one file that imports it, which says how to install it."""


def imported() -> Iterator[tuple[str, str]]:
    """Each package that is imported anywhere, within functions too, and the file."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    own = told["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for path in (path for name in own for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names}:
                if name not in sys.stdlib_module_names and name not in own:
                    yield name, path.relative_to(ROOT).as_posix()


def test_every_import_is_of_a_runtime_dependency() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    there = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in told}
    found = list(imported())
    assert ("torch", "erase/models/bundle.py") in found
    for name, file in found:
        if ASKED_FOR.get(name) != file:
            package = OTHER_NAMES.get(name.lower(), name.lower())
            assert COME_WITH.get(package, package) in there, f"{file} imports {name}"
