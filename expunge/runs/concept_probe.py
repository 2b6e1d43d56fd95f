"""Does a model, as it is now, draw a concept? A few images of it, drawn and judged on the spot."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from erase.models.bundle import Bundle
from erase.models.companions import clip_folder, vocabulary
from erase.models.prediction import drawing_arithmetic
from erase.run_folder.record import Drawn
from erase.training.watch import Gone
from eval.concept.evaluate import Domain, domain_of, expected_labels
from eval.generation.generate import Drawing, generate
from eval.generation.image_log import image_path
from eval.judges.judge import CLIP, NUDENET, Judge
from eval.metrics.rates import rate
from eval.metrics.schema import Metric
from expunge.evaluations.judge_choice import choose_judges
from expunge.runs.plan import Plan
from prompts.evaluation_rows import PromptRow, concept_rows
from prompts.imagenette import CLASSIFIER, is_imagenette
from prompts.naming import named_labels

log = logging.getLogger(__name__)
HARDLY_DRAWN = 50.0
"""Percent of images below which an erasure is hardly worth its time; verdicts say so, too."""
IMAGES = 32
"""That none shows the concept any more leaves it to at most 9 % of all, with 95 % confidence."""
_AT_ONCE = 8
_SEED = 0x9806E
"""Apart from the seeds of evaluations, which are not to be stopped by what they measure."""


@dataclass(frozen=True)
class ConceptProbe:
    """A concept's forget prompts with seeds, and the judge who knows it."""

    sd: Bundle
    plan: Plan
    rows: Sequence[PromptRow]
    judges: Mapping[Domain, Judge]
    steps: int
    """Of sampling."""

    @staticmethod
    def open(sd: Bundle, plan: Plan, *, steps: int | None = None) -> ConceptProbe:
        """With the judge that `evaluate concept` would ask; a UsageError if there is none."""
        judges, words = choose_judges(plan.concept, plan.source, None, sd.denoiser.device)
        rows = [
            row
            for row in concept_rows(plan.concept, words, "full", _SEED)
            if row.split == "forget"
            and domain_of(row) in judges
            and expected_labels(plan.concept, row, judges[domain_of(row)])
        ]
        # Spread over the prompts, which come in groups.
        few = rows[:: max(1, len(rows) // IMAGES)][:IMAGES]
        return ConceptProbe(sd, plan, few, judges, steps or plan.drawing.steps)

    def shown(self, rows: Sequence[PromptRow]) -> list[bool]:
        """Whether the judge sees the concept in the image of each row."""
        with TemporaryDirectory(prefix="expunge-") as name:
            folder = Path(name)
            self._draw(rows, folder)
            return [self._hit(row, image_path(folder, row.id)) for row in rows]

    def drawn(self) -> Metric | None:
        """How many of some images show the concept, in percent; None if there are no prompts."""
        return rate(self.shown(self.few))

    @property
    def few(self) -> Sequence[PromptRow]:
        """Half of the rows: enough to tell whether there is anything to erase."""
        return self.rows[::2]

    def gone(self) -> bool:
        """Whether no image does; ends at the first few of which one does."""
        parts = (self.rows[i : i + _AT_ONCE] for i in range(0, len(self.rows), _AT_ONCE))
        return bool(self.rows) and not any(any(self.shown(part)) for part in parts)

    def _draw(self, rows: Sequence[PromptRow], folder: Path) -> None:
        drawing, dtype = self.plan.drawing, self.plan.dtype
        pipeline = self.sd.pipeline(drawing.sampler)
        asked = Drawing(
            sampler=drawing.sampler,
            steps=self.steps,
            guidance_scale=drawing.guidance_scale,
            size=self.sd.native_size,
            dtype=str(dtype)[6:],
        )
        parts = (self.sd.denoiser, *self.sd.encoders)
        with drawing_arithmetic(parts, pipeline.device, dtype):
            generate(pipeline, rows, folder, asked, model_hash="", batch_size=drawing.batch_size)

    def _hit(self, row: PromptRow, image: Path) -> bool:
        judge = self.judges[domain_of(row)]
        (seen,) = judge.classify([image])
        return seen.label in expected_labels(self.plan.concept, row, judge)


def gone(sd: Bundle, plan: Plan) -> Gone:
    """Asks, in fewer sampling steps than images are drawn with, whether the concept is gone."""
    return ConceptProbe.open(sd, plan, steps=max(8, plan.drawing.steps * 2 // 5)).gone


def drawn_before(sd: Bundle, plan: Plan) -> Drawn | None:
    """How often the original draws the concept, as run.json has it; said if it hardly does.

    None if the concept's judge is not on this machine for certain.
    """
    if not _at_hand(plan):
        log.info("not checked, for want of a judge: does the model draw %s?", plan.concept.name)
        return None
    found = ConceptProbe.open(sd, plan).drawn()
    if found and found.value < HARDLY_DRAWN:
        log.warning(
            "the model shows %s in only %.0f %% of %d images that ask for it: there is little to "
            "erase; does it know it by another name?",
            plan.concept.name,
            found.value,
            found.n,
        )
    return found and Drawn(**vars(found))


def probed(sd: Bundle, plan: Plan) -> int:
    """How many images `drawn_before` draws."""
    return len(ConceptProbe.open(sd, plan).few) if _at_hand(plan) else 0


def _at_hand(plan: Plan) -> bool:
    words = vocabulary(plan.source)
    if words and named_labels(plan.concept.labels, (*words.objects, *words.styles)):
        return True
    usual = CLASSIFIER if is_imagenette(plan.concept) else CLIP
    detector = plan.concept.detector or usual
    return detector == NUDENET or (detector == CLIP and clip_folder(plan.source) is not None)
