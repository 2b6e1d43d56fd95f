"""`report.html`: one page that needs nothing else, rendered from a run's files alone; no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.kind.chart import Chart
from eval.kind.kind import Kind
from eval.kind.measurement import Measurement
from eval.kind.pictures import Gallery, Thumbnail, inline
from eval.kind.table import Table
from eval.report import charts
from eval.report.data import RunData
from eval.report.story import (
    commands,
    cost,
    hashes,
    headline,
    is_miniature,
    not_measured,
    probes,
    protocols,
    provenance,
    settings,
    versions,
)
from eval.report.tables import control_tables
from eval.verdict.verdict import Verdict, in_order, judge
from plumbing.visible_text import plain

TEMPLATES = Path(__file__).parent / "templates"
_LONGEST = 2000
"""Characters of any one text, whoever wrote it."""


def verdict_of(data: RunData) -> Verdict:
    """The verdict on a run, by the rules in eval.verdict."""
    if data.run.command == "mask":
        sentence = "This is a saliency mask alone: no weights were changed."
        return Verdict("none", "Nothing erased", sentence)
    if data.run.command == "erase" and not data.run.finished:
        sentence = "The run was not finished, so it has no result."
        return Verdict("none", "Not finished", sentence, data.run.ended.remarks)
    if data.run.ended.rolled_back:
        sentence = (
            "The training was rolled back to its beginning: the weights are the original's, so "
            "nothing was erased, whatever was measured."
        )
        return Verdict("bad", "Nothing erased", sentence, data.run.ended.remarks)
    clauses = [kind.clause(found) for kind, found in data.measured]
    verdict = judge([clause for clause in clauses if clause])
    return replace(verdict, remarks=(*data.run.ended.remarks, *verdict.remarks))


def render_html(data: RunData, *, images: bool = True) -> str:
    """The page on a run."""
    return environment().get_template("run.html.j2").render(**_run_page(data, images=images))


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The pages' templates; kept, since reading them takes longer than filling them."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Every text that a template prints: cleaned and cut; markup of our own stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    # A line that begins with "%" reads badly.
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", plain(value, _LONGEST))


def _run_page(data: RunData, *, images: bool) -> dict[str, Any]:
    sections = [_section(kind, found, images=images) for kind, found in data.measured]
    shared = [section for section in sections if not section.heading]
    return {
        **story(data),
        "figures": [f for kind, found in data.measured for f in kind.figures(found.evaluation)],
        "shared": Section(
            "Figures",
            [table for section in shared for table in section.tables],
            [chart for section in shared for chart in section.charts],
            [gallery for section in shared for gallery in section.galleries],
        ),
        "sections": [section for section in sections if section.heading],
        "control_tables": control_tables(data),
        "mask": _mask(data),
        "losses": charts.draw_losses(data.steps) if data.steps else None,
        "drift": _drift(data),
        "probes": probes(data),
        "problems": [*data.problems, *_left_out(data, images=images)],
    }


@dataclass(frozen=True)
class Section:
    """What the page shows of one evaluation."""

    heading: str
    tables: Sequence[Table]
    charts: Sequence[Chart]
    galleries: Sequence[Gallery]


def _section(kind: Kind, found: Measurement, *, images: bool) -> Section:
    pictures = [g for g in kind.galleries(found) if g.pairs] if images else []
    evaluation = found.evaluation
    return Section(kind.heading, kind.tables(evaluation), kind.charts(evaluation), pictures)


def _left_out(data: RunData, *, images: bool) -> list[str]:
    """Which images the page does not show, and why."""
    if not images:
        return ["the images were left out on request"]
    return [line for kind, found in data.measured for line in kind.left_out(found.evaluation)]


def story(data: RunData) -> dict[str, Any]:
    """What any page says of a run."""
    return {
        "title": headline(data),
        "name": data.run.name,
        "verdict": verdict_of(data),
        "rules": in_order(kind.rules for kind in data.kinds),
        "protocols": protocols(data),
        "cost": cost(data),
        "provenance": provenance(data),
        "settings": settings(data),
        "hashes": hashes(data),
        "versions": versions(data),
        "not_measured": not_measured(data),
        "commands": commands(data),
        "miniature": is_miniature(data),
    }


def _drift(data: RunData) -> Markup | None:
    guard, stopped = data.run.ended.guard, data.run.ended.stopped
    if guard is None or not guard.drift:
        return None
    return charts.draw_drift(guard, stopped.kept_step if stopped else None)


@dataclass(frozen=True)
class MaskView:
    """How the mask is shown: its share, and charts or the picture that the run left."""

    kept: int
    total: int
    charts: tuple[Markup, ...] = ()
    picture: Thumbnail | None = None

    @property
    def density(self) -> float | None:
        """Share of the weights selected, in percent."""
        return 100 * self.kept / self.total if self.total else None


def _mask(data: RunData) -> MaskView | None:
    """The mask's charts; else the picture in the folder, else None."""
    run, picture = data.run, data.run.folder / "mask.png"
    if run.blocks:
        kept, total = sum(p.kept for p in run.blocks), sum(p.total for p in run.blocks)
        share = kept / total if total else None
        drawn = [
            charts.draw_mask_parts(name, parts, share)
            for name, parts in (("block", run.blocks), ("kind", run.kinds))
            if parts
        ]
        return MaskView(kept, total, tuple(drawn))
    if not picture.is_file():
        return None
    try:
        uri, (width, height) = inline(picture.read_bytes(), side=1000)
    except (OSError, ValueError, SyntaxError):
        return None
    return MaskView(0, 0, (), Thumbnail("mask", "Where the mask lies", uri, width, height))
