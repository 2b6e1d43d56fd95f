"""`expunge demo`: erase church from the shipped miniature and show what became of it."""

import json
from typing import Any

from erase.commands import erase, evaluate, evaluate_quality, report
from erase.config import Demo, Erase, EvaluateConcept, EvaluateQuality, Report
from eval.concept.evaluate import EVALUATION, GRID

CONCEPT = "church"
QUALITY_IMAGES = 80


def run(settings: Demo) -> dict[str, Any]:
    """Erase, measure on the small protocols, write the report; returns what all four say."""
    out, again = str(settings.out), settings.overwrite
    erased = erase.erase_concepts(Erase(concepts=(CONCEPT,), out=settings.out, overwrite=again))
    evaluation, folder = evaluate.measure(
        EvaluateConcept(target=out, protocol="demo", overwrite=again)
    )
    quality, _ = evaluate_quality.measure(
        EvaluateQuality(target=out, images=QUALITY_IMAGES, overwrite=again)
    )
    written = report.write_report(Report(runs=(settings.out,)))
    result = {
        "run": erased,
        "evaluation": evaluation.to_dict(),
        "quality": quality.to_dict(),
        "report": written,
    }
    if settings.json:
        print(json.dumps(result))
    else:
        print(f"{evaluate.table(evaluation)}\n\n{evaluate_quality.table(quality)}")
        print(f"\n{written['runs'][0]['verdict']}. {written['runs'][0]['sentence']}")
        print(f"\nthe run:          {settings.out}\nthe figures:      {folder / EVALUATION}")
        print(f"before and after: {folder / GRID}\nthe report:       {written['report']}")
    return result
