"""`expunge demo`: erase church from the shipped miniature and show what became of it."""

import json
from typing import Any

from erase.commands import erase, evaluate
from erase.config import Demo, Erase, EvaluateConcept
from eval.concept import EVALUATION, GRID

CONCEPT = "church"


def run(settings: Demo) -> dict[str, Any]:
    """Erase, measure on the small protocol, print the table; returns run.json and evaluation."""
    erased = erase.erase_concepts(
        Erase(concepts=(CONCEPT,), out=settings.out, overwrite=settings.overwrite)
    )
    evaluation, folder = evaluate.measure(
        EvaluateConcept(target=str(settings.out), protocol="demo", overwrite=settings.overwrite)
    )
    result = {"run": erased, "evaluation": evaluation.to_dict()}
    if settings.json:
        print(json.dumps(result))
    else:
        print(evaluate.table(evaluation))
        print(f"\nthe run:          {settings.out}\nthe figures:      {folder / EVALUATION}")
        print(f"before and after: {folder / GRID}")
    return result
