"""Which judge tells whether a model still draws a concept, and what else it can tell."""

from collections.abc import Mapping
from typing import Any

from erase.models.companions import clip_folder, judge_folder, vocabulary
from erase.models.model_source import ModelSource
from eval.concept.evaluate import Domain
from eval.judges.judge import CLIP, Judge
from eval.judges.open_judge import DEFAULT_CLIP, open_judge
from prompts.concept import ConceptSpec, Vocabulary
from prompts.imagenette import CLASSES, CLASSIFIER, VOCABULARY, is_imagenette
from prompts.naming import named_labels


def choose_judges(
    spec: ConceptSpec, home: ModelSource, detector: str | None, device: Any
) -> tuple[Mapping[Domain, Judge], Vocabulary | None]:
    """The judges of a concept, and the vocabulary to build its evaluation's prompts from.

    In this order: `detector`; the model's own judges, if they know the concept; the detector that
    the concept's file names; an ImageNet classifier for Imagenette's classes; CLIP, zero-shot,
    the model's own if it has one. No vocabulary, if all that can be told is concept or not.
    """
    words = vocabulary(home)
    if detector is None and words and named_labels(spec.labels, (*words.objects, *words.styles)):
        return _own_judges(home, device), words
    usual = CLASSIFIER if is_imagenette(spec) else CLIP
    judge = open_judge(
        detector or spec.detector or usual,
        spec,
        clip=clip_folder(home) or DEFAULT_CLIP,
        device=device,
    )
    knows_all = all(named_labels([name], judge.labels) for name in CLASSES)
    return {"object": judge}, VOCABULARY if knows_all else None


def _own_judges(home: ModelSource, device: Any) -> Mapping[Domain, Judge]:
    from eval.judges.classifier import load_classifier

    domains: tuple[Domain, ...] = ("object", "style")
    judges: dict[Domain, Judge] = {}
    for domain in domains:
        if folder := judge_folder(home, domain):
            judges[domain] = load_classifier(folder, device)
    return judges
