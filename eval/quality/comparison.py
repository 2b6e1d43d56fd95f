"""A run's quality of other images beside that of other runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eval.kind.comparison import Cell, Column, Comparison, Setting, drawn_settings, metric_cell
from eval.quality.measures.clip_score import CLIP_SCORE
from eval.quality.measures.cmmd import CMMD
from eval.quality.measures.measure import Measure
from eval.quality.results import QualityEvaluation

_SHOWN = ((CLIP_SCORE, "erased", "CLIP score"), (CMMD, "change", "CMMD to original"))
"""The measures, of which model or change, and what their columns are called."""


def _columns(evaluations: Sequence[QualityEvaluation]) -> list[Column]:
    return [Column(name, partial(_cell, m, side), m.better) for m, side, name in _SHOWN]


def _cell(measure: Measure, side: str, evaluation: QualityEvaluation) -> Cell:
    found: Mapping[str, Any] = getattr(evaluation, side) or {}
    why = evaluation.notes.get(measure.name, "there is nothing to compare the images with")
    return metric_cell(found.get(measure.name), measure.digits, why=why)


def _settings(evaluation: QualityEvaluation) -> Mapping[str, Setting]:
    protocol, clip = evaluation.protocol, evaluation.clip
    return {
        "source of prompts": protocol.prompts,
        "images": str(protocol.images),
        **drawn_settings(protocol, {}),
        "CLIP": {"name": clip.get("name", "unnamed"), "sha256": clip.get("sha256", "unknown")},
        "prompts": protocol.rows_sha256[:12],
    }


COMPARISON = Comparison(_columns, _settings)
