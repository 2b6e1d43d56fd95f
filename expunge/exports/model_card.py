"""The model card of an export: the run's report, in which nothing tells of this machine."""

from __future__ import annotations

from erase.export.card import CardFacts, model_card
from erase.models.erased_run import ErasedRun
from eval.report.data import read_run_data
from eval.report.markdown import render_markdown
from eval.report.page import verdict_of
from expunge.reports.write_report import describe, published


def write_card(
    run: ErasedRun, *, strength: float, dtype: str, as_measured: bool, weights_sha256: str
) -> str:
    """The card's text; an evaluation that cannot be read is a UsageError."""
    record = published(run.record)
    data = read_run_data(describe(run.folder, record))
    report = render_markdown(data, verdict_of(data))
    facts = CardFacts(record.base, strength, dtype, as_measured, weights_sha256, record.method)
    return model_card(report, facts)
