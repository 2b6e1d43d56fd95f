"""The words of a run: its concepts, their prompts, and the captions of the user's images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from erase.models.companions import vocabulary
from erase.models.model_source import ModelSource
from prompts.concept import ConceptSpec, combine, load_concept
from prompts.concept_file import concept_path
from prompts.prompt_list import read_prompts

log = logging.getLogger(__name__)


def read_concepts(
    concepts: Sequence[str], source: ModelSource, forget: Path | None, retain: Path | None
) -> ConceptSpec:
    """All concepts as one, with the prompts of the user's files instead of their own.

    Nothing that names the concept, or is to be forgotten, is among those retained; that some are
    left out is said, and UsageError if none is left.
    """
    words = vocabulary(source)
    concept = combine([load_concept(name, words) for name in concepts])
    if forget is not None:
        given = read_prompts(forget, "--forget-prompts")
        _tell_unnamed(concept, given, f"--forget-prompts {forget}", "prompts")
        concept = replace(concept, forget_prompts=given)
    where, kept = "CONCEPT", concept.retain_prompts
    if retain is not None:
        where, kept = f"--retain-prompts {retain}", read_prompts(retain, "--retain-prompts")
    return replace(concept, retain_prompts=concept.to_keep(kept, where))


def choose_images(
    concept: ConceptSpec,
    captions: Mapping[str, dict[Path, str]],
    folders: Mapping[str, Path | None],
) -> dict[str, dict[Path, str]]:
    """The images that the user gave, by role, but for those that can not be retained.

    A caption counts as a prompt does: one that names the concept is left out.
    """
    chosen = dict(captions)
    forgotten = tuple(captions.get("forget", {}).values())
    if forgotten:
        _tell_unnamed(concept, forgotten, f"--forget-data {folders['forget']}", "captions")
    if "retain" in captions:
        images, where = captions["retain"], f"--retain-data {folders['retain']}"
        kept = concept.to_keep(tuple(images.values()), where, "captions", forgotten or None)
        chosen["retain"] = {path: text for path, text in images.items() if text in set(kept)}
    return chosen


def name_of(concept: str) -> str:
    """What stands for a concept in a run's identity: a file's whole path, or the words."""
    path = concept_path(concept)
    return str(path.resolve()) if path else concept


def _tell_unnamed(concept: ConceptSpec, texts: Iterable[str], where: str, noun: str) -> None:
    """Forget and retain files may have been mixed up, or the concept goes by another name."""
    if not any(map(concept.named_in, texts)):
        log.warning(
            "%s: none of its %s names %s: what they do name is what will be erased",
            where,
            noun,
            concept.name,
        )
