"""`expunge demo`: erase church from the shipped miniature and show what became of it."""

import json
from typing import Any

from eval.concept.evaluate import EVALUATION, GRID
from expunge.commands import evaluate_concept, evaluate_quality
from expunge.evaluations import concept, quality
from expunge.reports.write_report import write_report
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Demo, Erase
from expunge.settings.evaluate import EvaluateConcept, EvaluateQuality
from expunge.settings.report import Report
from plumbing.processes import sole

CONCEPT = "church"
QUALITY_IMAGES = 80


def run(settings: Demo) -> dict[str, Any]:
    """Erase, measure on the small protocols, write the report; returns what all four say."""
    out, again = str(settings.out), settings.overwrite
    erased = erase_concepts(Erase(concepts=(CONCEPT,), out=settings.out, overwrite=again))
    evaluation, folder = sole(
        concept.evaluate_concept(EvaluateConcept(target=out, protocol="demo", overwrite=again))
    )
    alignment, _ = sole(
        quality.evaluate_quality(
            EvaluateQuality(target=out, images=QUALITY_IMAGES, overwrite=again)
        )
    )
    written = write_report(Report(runs=(settings.out,)))
    result = {
        "run": erased,
        "evaluation": evaluation.to_dict(),
        "quality": alignment.to_dict(),
        "report": written,
    }
    if settings.json:
        print(json.dumps(result))
    else:
        print(f"{evaluate_concept.table(evaluation)}\n\n{evaluate_quality.table(alignment)}")
        print(f"\n{written['runs'][0]['verdict']}. {written['runs'][0]['sentence']}")
        print(f"\nthe run:          {settings.out}\nthe figures:      {folder / EVALUATION}")
        print(f"before and after: {folder / GRID}\nthe report:       {written['report']}")
    return result
