"""How much code there is, and how it is cut: lines, functions, files and folders that are too long.

    python -m benchmarks.structure

Imports, docstrings and empty lines are counted apart: rooms cost those, and they hide no work.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from statistics import median

PACKAGES = ("erase", "eval", "prompts", "plumbing", "expunge")
LONG_FUNCTION, LONG_FILE, LARGE_FOLDER = 60, 250, 14


def main() -> None:
    """Print the counts, and whatever is beyond a limit."""
    files = {file: file.read_text("utf-8") for p in PACKAGES for file in Path(p).rglob("*.py")}
    counts = sum((_count(text) for text in files.values()), Counter())
    functions = sorted(
        (node.end_lineno - node.lineno + 1, f"{file}:{node.name}")
        for file, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    )
    folders = Counter(file.parent for file in files)
    lines = [f"{name:12}{count:8,}" for name, count in counts.items()]
    lines.append(
        f"functions   {len(functions):8,}, median {median(n for n, _ in functions):g} lines"
    )
    lines += [f"{n:4} lines  {name}" for n, name in reversed(functions) if n > LONG_FUNCTION]
    lines += [
        f"{len(text.splitlines()):4} lines  {file}"
        for file, text in files.items()
        if len(text.splitlines()) > LONG_FILE
    ]
    lines += [f"{n:4} files  {folder}" for folder, n in folders.items() if n > LARGE_FOLDER]
    sys.stdout.write("\n".join(lines) + "\n")


def _count(text: str) -> Counter[str]:
    """Lines of a file by what they are."""
    lines = text.splitlines()
    found = Counter(lines=len(lines), empty=sum(not line.strip() for line in lines))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom) and node.end_lineno:
            found["imports"] += node.end_lineno - node.lineno + 1
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            found["docstrings"] += node.end_lineno - node.lineno + 1
    found["code"] = 2 * found["lines"] - found.total()
    return found


if __name__ == "__main__":
    main()
