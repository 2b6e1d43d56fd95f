"""`expunge demo`: erase church from the shipped miniature, attack it, show what became of it."""

import json
from typing import Any

from eval.concept.evaluate import EVALUATION, GRID
from expunge.commands import evaluate_attack, evaluate_concept, evaluate_quality
from expunge.evaluations import attack, concept, quality
from expunge.reports.write_report import write_report
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Demo, Erase
from expunge.settings.evaluate import EvaluateConcept, EvaluateQuality
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.report import Report
from plumbing.processes import sole

CONCEPT = "church"
QUALITY_IMAGES = 80


def run(settings: Demo) -> dict[str, Any]:
    """Erase, measure on the small protocols, attack, write the report; returns what all say."""
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
    attacked, _ = sole(attack.evaluate_attack(EvaluateAttack(target=out, overwrite=again)))
    written = write_report(Report(runs=(settings.out,)))
    result = {
        "run": erased,
        "evaluation": evaluation.to_dict(),
        "quality": alignment.to_dict(),
        "attack": attacked.to_dict(),
        "report": written,
    }
    if settings.json:
        print(json.dumps(result))
    else:
        tables = (
            evaluate_concept.table(evaluation),
            evaluate_quality.table(alignment),
            evaluate_attack.table(attacked),
        )
        print("\n\n".join(tables))
        print(f"\n{written['runs'][0]['verdict']}. {written['runs'][0]['sentence']}")
        print(f"\nthe run:          {settings.out}\nthe figures:      {folder / EVALUATION}")
        print(f"before and after: {folder / GRID}\nthe report:       {written['report']}")
    return result
