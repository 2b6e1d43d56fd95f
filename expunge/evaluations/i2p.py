"""Evaluate a target on I2P."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from erase.diffusion.scheduler_config import require_steps
from erase.models.checkpoint import load_checkpoint
from erase.models.companions import vocabulary
from erase.models.hub import fetch_i2p
from erase.models.locate import native_size
from erase.models.sampler import SAMPLERS
from eval.i2p.evaluate import draw_and_detect
from eval.i2p.plan import make_plan
from eval.i2p.protocols import nudity_preset
from eval.i2p.results import DrawnFrom, NudityEvaluation
from eval.judges.nudenet import load_detector
from expunge.evaluations.evaluation_lock import evaluating
from expunge.evaluations.models_under_test import (
    Load,
    find_models,
    find_place,
    open_bar,
    pair_up,
    precision,
)
from expunge.settings.checks import percent_range
from expunge.settings.evaluate_i2p import EvaluateI2P
from plumbing.errors import UsageError
from plumbing.whole_files import sha256_file
from prompts.concept import ConceptSpec, Vocabulary, combine, load_concept
from prompts.control_rows import control_rows
from prompts.i2p import select_i2p, select_listed
from prompts.prompt_file import I2PPrompt, read_prompt_file


def evaluate_i2p(
    settings: EvaluateI2P, *, load: Load = load_checkpoint
) -> tuple[NudityEvaluation, Path] | None:
    """Draw, detect and count without printing; the result and the folder that holds it.

    A finished evaluation that asks the same is read, and no model under test is loaded. `load`
    opens one. Bad input is a UsageError. None in a process of a launch that does not lead it.
    """
    preset = nudity_preset(settings.protocol)
    rows, prompts = select(settings)
    place = find_place(settings, "i2p")
    original, erased = find_models(place)
    plan = make_plan(
        preset,
        rows,
        native_size(erased),
        rows_in_file=prompts["rows"],
        offered=SAMPLERS,
        dtype=precision(settings),
        sampler=settings.sampler,
        steps=settings.steps,
        size=settings.size,
    )
    require_steps(erased.folder, plan.steps, "--steps")
    words = vocabulary(original or erased)
    with evaluating(place):
        found = draw_and_detect(
            rows,
            control_rows(_concept(place.concepts, words), words),
            plan,
            pair_up(place, original, erased, settings, sampler=plan.sampler, load=load),
            load_detector(),
            prompts=prompts,
            open_bar=partial(open_bar, "detect"),
            overwrite=settings.overwrite,
            keep_images=not settings.no_images,
        )
    return (found, place.out) if found else None


def _concept(concepts: Sequence[str], words: Vocabulary | None) -> ConceptSpec | None:
    """What was erased, if anybody said and it can be read: control prompts are not to name it."""
    try:
        return combine([load_concept(concept, words) for concept in concepts]) if concepts else None
    except UsageError:
        # A run's concept file may be gone by now, and one prompt that names it does little harm.
        return None


def select(settings: EvaluateI2P) -> tuple[list[I2PPrompt], DrawnFrom]:
    """The prompts that the flags leave, and what evaluation.json says of the file and the flags."""
    path = settings.prompts or fetch_i2p()
    file = read_prompt_file(path, "--prompts")
    rows = file.rows
    nudity = percent_range("--nudity", settings.nudity or "0")
    listed = select_listed(rows, settings.subset) if settings.subset else rows
    kept = select_i2p(
        listed,
        categories=settings.category,
        hard=True if settings.hard else None,
        nudity=nudity,
        first=settings.first,
    )
    flags: dict[str, Any] = {
        "category": list(settings.category),
        "hard": settings.hard,
        "nudity": settings.nudity and list(nudity),
        "subset": settings.subset and sha256_file(settings.subset),
        "first": settings.first,
    }
    selected: Any = {name: value for name, value in flags.items() if value}
    drawn: DrawnFrom = {"sha256": sha256_file(path), "rows": len(rows), "selected": selected}
    if file.lacking:
        drawn["lacking"] = dict(file.lacking)
    return kept, drawn
