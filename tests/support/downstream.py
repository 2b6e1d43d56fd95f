"""What follows an erasure, and must not ask by which method it was."""

from __future__ import annotations

import shlex
from pathlib import Path

from erase.run_folder.folder import inspect_folder, read_run
from expunge.cli import main
from expunge.parsing import parse
from expunge.reports.reproduce import run_command
from expunge.runs.plan import make_plan

FORMATS = ("unet", "pipeline", "delta", "lora")


def everything_downstream(run: Path, tmp_path: Path) -> str:
    """Verified, exported, reported, its command found again; the report's text."""
    words = shlex.split(run_command(read_run(run)) or "")
    plan = make_plan("erase", parse(("erase",), words[2:]))
    assert inspect_folder(run, plan.identity, overwrite=False) == "finished"
    assert main(["verify", str(run)]) == 0
    for kind in FORMATS:
        in_file = kind in ("delta", "lora")
        place = tmp_path / (f"it-{kind}.safetensors" if in_file else f"it-{kind}")
        words = ["--format", kind, "--to", str(place)]
        assert (
            main(["export", str(run), *words, *(["--check", "no"] if kind == "lora" else [])]) == 0
        )
        assert kind == "lora" or main(["verify", str(place), "--run", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    assert main(["report", str(run), "--format", "md", "--to", str(tmp_path / "it.md")]) == 0
    return (run / "report.html").read_text() + (tmp_path / "it.md").read_text()
