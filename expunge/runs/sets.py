"""The sets of a run, drawn or read: which there are, and how each is made."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from tqdm import tqdm

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import (
    AnchorSet,
    PromptSet,
    RetainSet,
    add_relabels,
    draw_set,
    read_set,
)
from erase.methods.method import Trained
from erase.models.bundle import Bundle
from erase.training.drift import PROMPTS, held_out
from expunge.runs.plan import Plan
from expunge.runs.relabels import Choices, anchors, relabels
from expunge.runs.roles import images_of
from plumbing.processes import ALONE, Team


def build_sets(sd: Bundle, plan: Plan, method: Trained, team: Team) -> dict[str, Any]:
    """All that a training is given, a mask is built from, or a guard looks at, by name."""
    settings, own = plan.settings, method.sets(plan.settings)
    relabel, seed = method.relabel(settings), settings.seed
    sets: dict[str, Any] = {}
    choices = relabels(sd, plan.concept, relabel, seed) if relabel and "forget" in own else None
    if "forget" in plan.roles:
        sets["forget"] = build_forget_set(sd, plan, choices, seed, team)
    if "anchor" in plan.roles:
        shown = choices or anchors(plan.concept, relabel or "random")
        sets["anchor"] = build_anchor_set(sd, plan, shown, seed, team)
    if "retain" in plan.roles:
        sets["retain"] = build_retain_set(sd, plan, seed, team)
    if "prompts" in own:
        concept = plan.concept
        asked = concept.names if settings.prompts == "name" else concept.forget_prompts
        sets["prompts"] = PromptSet(asked, sd.encode(asked), sd.encode_nothing())
    return sets


def build_forget_set(
    sd: Bundle, plan: Plan, choices: Choices | None, seed: int, team: Team = ALONE
) -> RetainSet:
    """Images of the concept: with `choices` of relabel prompts a ForgetSet."""
    prompts = plan.concept.in_turn()
    also = _unseen(plan, "forget", prompts)
    images = _build_set(sd, plan, "forget", prompts, seed, team, also)
    return images if choices is None else add_relabels(sd, images, choices)


def build_anchor_set(
    sd: Bundle, plan: Plan, choices: Choices, seed: int, team: Team = ALONE
) -> AnchorSet:
    """Images of what takes the concept's place, each with the forget prompt that is to give it.

    Each is drawn for one of the `choices` of its forget prompt.
    """
    draw = Random(f"{seed}/anchor")
    captions = plan.captions.get("forget", {})
    forgotten = tuple(dict.fromkeys(captions.values())) or plan.concept.in_turn()
    pool = {prompt: choices(prompt) for prompt in forgotten}
    places = [i % len(pool) for i in range(images_of("anchor", plan.data, plan.captions))]
    prompts = list(pool)
    anchors = tuple(draw.choice(pool[prompts[place]]) for place in places)
    images = _build_set(sd, plan, "anchor", anchors, seed, team)
    return AnchorSet(
        **vars(images),
        concept_index=torch.tensor(places),
        concept_conditioning=sd.encode(prompts),
    )


def build_retain_set(sd: Bundle, plan: Plan, seed: int, team: Team = ALONE) -> RetainSet:
    """Images of everything else."""
    prompts = plan.concept.retain_prompts
    unseen = _unseen(plan, "retain", prompts)
    # The last of them are the guard's.
    return _build_set(
        sd, plan, "retain", prompts, seed, team, unseen[: max(0, len(unseen) - PROMPTS)]
    )


def held_prompts(sd: Bundle, plan: Plan, retain: RetainSet) -> Conditioning:
    """The guard's: prompts to be kept, and not of the retain set as far as there are others."""
    return sd.encode(held_out(plan.concept.retain_prompts, retain.prompts, PROMPTS))


def _unseen(plan: Plan, role: str, prompts: tuple[str, ...]) -> tuple[str, ...]:
    """The prompts of a role that have no image, where images are seen under others' prompts."""
    if not getattr(plan.settings, "mix", 0):
        return ()
    given = plan.captions.get(role, {})
    seen = {*(tuple(given.values()) or prompts[: images_of(role, plan.data, plan.captions)])}
    return tuple(prompt for prompt in prompts if prompt not in seen)


def _build_set(
    sd: Bundle,
    plan: Plan,
    role: str,
    prompts: tuple[str, ...],
    seed: int,
    team: Team,
    also: tuple[str, ...] = (),
) -> RetainSet:
    captions, count = plan.captions.get(role), images_of(role, plan.data, plan.captions)
    own = -(-count // team.count)
    with tqdm(total=own, desc=f"{role} set", unit="img", disable=not team.leads) as bar:
        if captions:
            images = read_set(
                sd,
                captions,
                flag=f"--{role}-data",
                role=role,
                cache=plan.cache,
                batch_size=plan.drawing.batch_size,
                progress=bar.update,
                team=team,
                also=also,
            )
        else:
            images = draw_set(
                sd,
                prompts,
                count,
                seed=seed,
                role=role,
                drawing=plan.drawing,
                cache=plan.cache,
                progress=bar.update,
                team=team,
                also=also,
            )
        bar.update(own - bar.n)
    return images
