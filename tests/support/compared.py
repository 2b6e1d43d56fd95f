"""Runs to be set side by side, with what was measured of them."""

from __future__ import annotations

from pathlib import Path

from expunge.cli import main
from support.attack_runs import add_attack
from support.pages import Page
from support.report_runs import CONFIG, add_concept, add_quality, make_run


def make_compared(folder: Path) -> list[Path]:
    """Deep and damaging, shallow and sparing, and worse than the second in both."""
    made = []
    for name, back, kept in (("deep", 2, 0.8), ("shallow", 15, 1.0), ("worse", 16, 0.9)):
        config = {**CONFIG, "lr": 1e-5 * len(made) + 1e-5}
        run = make_run(folder / name, config=config, passes={"train": {"denoiser": 640}})
        add_concept(run, kept=kept, near=True, images=20)
        add_attack(run, back=back)
        add_quality(run)
        made.append(run)
    return made


def evaluation_of(run: Path, kind: str) -> Path:
    return run / "eval" / kind / "evaluation.json"


def text_of(shown: Page) -> str:
    return " ".join(shown.text.replace("\N{NO-BREAK SPACE}", " ").split())


def compared_page(runs: list[Path]) -> Page:
    to = runs[0].parent / "compare.html"
    assert main(["compare", *map(str, runs), "--out", str(to)]) == 0
    return Page(to.read_text(encoding="utf-8"))
