"""`expunge demo`: erase church from the shipped miniature, attack it, show what became of it."""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from eval.concept.evaluate import EVALUATION, GRID
from eval.concept.results import ConceptEvaluation
from eval.depth.results import AttackEvaluation
from eval.report.tables import duration
from expunge.commands import evaluate_attack, evaluate_concept, evaluate_quality
from expunge.evaluations import attack, concept, quality
from expunge.evaluations.preview import draw_preview
from expunge.reports.write_report import write_report
from expunge.runs.erase import erase_concepts
from expunge.settings.erase import Demo, Erase
from expunge.settings.evaluate import EvaluateConcept, EvaluateQuality
from expunge.settings.evaluate_attack import EvaluateAttack
from expunge.settings.groups import DataFlags
from expunge.settings.report import Report
from expunge.settings.salun import SalUnFlags
from plumbing.processes import sole

log = logging.getLogger(__name__)
CONCEPT = "church"
SETTINGS = SalUnFlags(steps=30, batch_size=8)
DRAWN_IN = 8
"""Sampling steps, where the model's own would be ten by the same sampler."""
DATA = DataFlags(forget_images=16, retain_images=48, inference_steps=DRAWN_IN, guided_share=0.5)
"""Fewer images and steps than the defaults have: church is the easiest of concepts."""
QUALITY_IMAGES = 38
"""All of other things that the concept's evaluation has drawn."""
PICTURE = "before.png"
SHARES = {"a first picture": 448, "erasing": 3080, "measuring": 1664, "attacking": 3680}
"""Passes of each stage, for what is left to be told."""


def run(settings: Demo) -> dict[str, Any]:
    """Erase, measure on the small protocols, attack, write the report; returns what all say."""
    out, again, clock = str(settings.out), settings.overwrite, Clock()
    judged: dict[str, Any] = {"protocol": "demo", "steps": DRAWN_IN}
    picture = settings.out.parent / f"{settings.out.name}-{PICTURE}"
    clock.begin("a first picture")
    draw_preview(
        EvaluateConcept(concept=(CONCEPT,), target="miniature", out=settings.out, **judged), picture
    )
    log.info("a first picture, of what the model draws now: %s", picture)
    clock.begin("erasing")
    erased = erase_concepts(
        Erase((CONCEPT,), settings=SETTINGS, data=DATA, out=settings.out, overwrite=again)
    )
    clock.begin("measuring")
    evaluation, folder = sole(
        concept.evaluate_concept(EvaluateConcept(target=out, overwrite=again, **judged))
    )
    alignment, _ = sole(
        quality.evaluate_quality(
            EvaluateQuality(target=out, images=QUALITY_IMAGES, steps=DRAWN_IN, overwrite=again)
        )
    )
    clock.begin("attacking")
    attacked, _ = sole(
        attack.evaluate_attack(EvaluateAttack(target=out, budget="demo", overwrite=again))
    )
    written = write_report(Report(runs=(settings.out,)))
    result = {
        "run": erased,
        "evaluation": evaluation.to_dict(),
        "quality": alignment.to_dict(),
        "attack": attacked.to_dict(),
        "report": written,
        "bill": bill(erased, evaluation, attacked, clock),
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
        print(f"\n{written['verdict']}. {written['sentence']}")
        print(f"\nthe run:          {settings.out}\nthe figures:      {folder / EVALUATION}")
        print(f"before and after: {folder / GRID}\nthe report:       {written['report']}")
        passes, seconds = (result["bill"][name] for name in ("passes", "seconds"))
        print(f"what it took:     {passes:,} passes through the UNet, {duration(seconds)}")
    return result


class Clock:
    """Says which stage begins, and about how long the rest takes by what the stages before took."""

    def __init__(self) -> None:
        """Start it."""
        self._began, self._done = time.perf_counter(), 0
        self._stages: list[str] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    def begin(self, stage: str) -> None:
        """End the stage before, and say what is left."""
        self._done = sum(SHARES[name] for name in self._stages)
        self._stages.append(stage)
        left = ""
        if self._done:
            seconds = self.elapsed * (sum(SHARES.values()) - self._done) / self._done
            left = f"; about {duration(seconds)} left"
        log.info("demo, %d of %d: %s%s", len(self._stages), len(SHARES), stage, left)


def bill(
    erased: Mapping[str, Any],
    evaluation: ConceptEvaluation,
    attacked: AttackEvaluation,
    clock: Clock,
) -> dict[str, Any]:
    """Passes through the UNet by stage and in all, whenever they were made; seconds of this call.

    The images that quality is measured on are among those of the concept's evaluation.
    """
    stages = {
        "erasing": sum(passes["denoiser"] for passes in erased["passes"].values()),
        "measuring": sum(cost.passes or 0 for cost in evaluation.cost.values()),
        "attacking": sum(cost.passes or 0 for cost in attacked.cost.values()),
    }
    seconds = round(clock.elapsed, 1)
    return {"passes": sum(stages.values()), "stages": stages, "seconds": seconds}
