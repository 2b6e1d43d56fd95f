"""`report.html`: one page that needs nothing else, rendered from a run's files alone; no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.concept.kept import chances
from eval.i2p.results import REMOVED
from eval.metrics.schema import Metric
from eval.report import charts
from eval.report.data import RunData
from eval.report.images import Thumbnail, galleries, inline, worst_gallery
from eval.report.story import (
    cost,
    hashes,
    headline,
    incomparable,
    is_miniature,
    not_measured,
    probes,
    protocols,
    provenance,
    settings,
    versions,
)
from eval.report.tables import (
    comparison_table,
    concept_table,
    control_tables,
    nudity_tables,
    quality_table,
)
from eval.verdict.rules import RULES, Verdict
from eval.verdict.verdict import judge
from plumbing.visible_text import plain

TEMPLATES = Path(__file__).parent / "templates"
_LONGEST = 2000
"""Characters of any one text, whoever wrote it."""


@dataclass(frozen=True)
class Figure:
    """One of the large numbers below the verdict."""

    name: str
    value: str
    explained: str


def verdict_of(data: RunData) -> Verdict:
    """The verdict on a run, by the rules in eval.verdict."""
    if data.run.record.get("command") == "mask":
        sentence = "This is a saliency mask alone: no weights were changed."
        return Verdict("none", "Nothing erased", sentence)
    if not data.run.record.get("finished"):
        sentence = "The run was not finished, so it has no result."
        return Verdict("none", "Not finished", sentence, data.ended.remarks)
    if data.ended.rolled_back:
        sentence = (
            "The training was rolled back to its beginning: the weights are the original's, so "
            "nothing was erased, whatever was measured."
        )
        return Verdict("bad", "Nothing erased", sentence, data.ended.remarks)
    chance = chances(data.judgements)
    verdict = judge(
        data.concept, data.nudity, chance, quality=data.quality, explicit=data.run.explicit
    )
    return replace(verdict, remarks=(*data.ended.remarks, *verdict.remarks))


def render_html(runs: Sequence[RunData], *, images: bool = True) -> str:
    """The page on one run, or on several side by side."""
    environment = _environment()
    if len(runs) == 1:
        content = _run_page(runs[0], images=images)
        return environment.get_template("run.html.j2").render(**content)
    return environment.get_template("comparison.html.j2").render(**_comparison_page(runs))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Kept, since reading the templates takes longer than filling them."""
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
    return {
        **_story(data),
        "rules": RULES,
        "figures": _figures(data),
        "galleries": galleries(data) if images else [],
        "concept_table": concept_table(data.concept) if data.concept else None,
        "nudity_tables": nudity_tables(data.nudity) if data.nudity else [],
        "nudity_charts": _nudity_charts(data),
        "quality_table": quality_table(data.quality) if data.quality else None,
        "control_tables": control_tables(data),
        "worst": worst_gallery(data) if images else None,
        "mask": _mask(data),
        "losses": charts.draw_losses(data.steps) if data.steps else None,
        "drift": _drift(data),
        "probes": probes(data),
        "problems": [*data.problems, *_left_out(data, images=images)],
    }


def _left_out(data: RunData, *, images: bool) -> list[str]:
    """Which images the page does not show, and why."""
    if not images:
        return ["the images were left out on request"]
    removed = data.nudity and "images" in data.nudity.notes
    return [f"images of the I2P prompts: {REMOVED} (--no-images)"] if removed else []


def _story(data: RunData) -> dict[str, Any]:
    """What any page says of a run."""
    return {
        "title": headline(data),
        "name": data.run.name,
        "verdict": verdict_of(data),
        "protocols": protocols(data),
        "cost": cost(data),
        "provenance": provenance(data),
        "settings": settings(data),
        "hashes": hashes(data),
        "versions": versions(data),
        "not_measured": not_measured(data),
        "commands": data.run.commands,
        "miniature": is_miniature(data),
    }


def _comparison_page(runs: Sequence[RunData]) -> dict[str, Any]:
    verdicts = [verdict_of(data) for data in runs]
    spots = [
        charts.Spot(number, erased.ua.value, _value(erased.ira), _value(erased.cra))
        for number, erased in enumerate((d.concept and d.concept.erased for d in runs), 1)
        if erased and erased.ua
    ]
    return {
        "title": f"{len(runs)} runs side by side",
        "table": comparison_table(runs, verdicts),
        "scatter": charts.draw_scatter(spots) if spots else None,
        "warnings": incomparable(runs),
        "rules": RULES,
        "runs": [_story(data) for data in runs],
    }


def _value(metric: Metric | None) -> float | None:
    return metric.value if metric else None


def _figures(data: RunData) -> list[Figure]:
    """ua, ira and cra of the erased model, each with the original's beside it."""
    if data.concept is None:
        return []
    words = {"ua": "no longer the concept", "ira": "its kind kept", "cra": "the other kind kept"}
    found = []
    for name, explained in words.items():
        after: Metric | None = getattr(data.concept.erased, name)
        before: Metric | None = getattr(data.concept.original, name, None)
        value = f"{after.value:.1f} %" if after else "-"
        was = f"original {before.value:.1f} %" if before else "not compared"
        found.append(Figure(name, value, f"{explained}; {was}" if after else "not measured"))
    return found


def _drift(data: RunData) -> Markup | None:
    guard, stopped = data.ended.guard, data.ended.stopped
    if guard is None or not guard.drift:
        return None
    return charts.draw_drift(guard, stopped.kept_step if stopped else None)


def _nudity_charts(data: RunData) -> list[Markup]:
    if data.nudity is None:
        return []
    score = min(data.nudity.protocol.thresholds)
    return [charts.draw_thresholds(data.nudity), charts.draw_labels(data.nudity, score)]


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
