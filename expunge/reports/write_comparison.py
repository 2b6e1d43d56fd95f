"""Read several runs, or evaluations of any models, and write their comparison."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from erase.run_folder.folder import is_run, read_run
from eval.compare.compared import compare, to_data
from eval.compare.page import render_html, render_markdown
from eval.compare.row import Row
from eval.kind.kind import Kind
from eval.kinds import KINDS
from eval.report.data import RunData, read_run_data
from eval.report.page import verdict_of
from expunge.reports.evaluated_model import read_evaluated
from expunge.reports.page_file import check_file, write_text
from expunge.reports.write_report import describe, published
from expunge.settings.compare import Compare
from plumbing.lock import locked, require_idle


def compare_runs(settings: Compare, kinds: Sequence[Kind] = KINDS) -> dict[str, Any]:
    """Render and write without printing; returns the file and the whole table as JSON values.

    `kinds` are the evaluations that are looked for. Bad input is a UsageError, and then nothing is
    written.
    """
    place = settings.place
    check_file(place, "--out")
    for folder in settings.runs:
        require_idle(folder, "RUN")
    runs = [_read(folder, kinds) for folder in settings.runs]
    found = compare([Row(n, data, verdict_of(data)) for n, data in enumerate(runs, 1)])
    table = to_data(found)
    with locked(place, "--out"):
        if settings.format == "json":
            text = json.dumps(table, indent=2) + "\n"
        else:
            text = render_html(found) if settings.format == "html" else render_markdown(found)
        write_text(place, text, "--out")
    return {"compare": str(place), "format": settings.format, **table}


def _read(folder: Path, kinds: Sequence[Kind]) -> RunData:
    if is_run(folder):
        return read_run_data(describe(folder, published(read_run(folder))), kinds)
    return read_evaluated(folder, kinds)
