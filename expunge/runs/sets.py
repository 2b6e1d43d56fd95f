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
from expunge.runs.roles import images_of
from plumbing.errors import UsageError
from plumbing.processes import ALONE, Team


def build_sets(sd: Bundle, plan: Plan, method: Trained, team: Team) -> dict[str, Any]:
    """All that a training is given, a mask is built from, or a guard looks at, by name."""
    settings, own = plan.settings, method.sets(plan.settings)
    relabel, seed = method.relabel(settings), settings.seed
    sets: dict[str, Any] = {}
    if "forget" in plan.roles:
        relabels = relabel if "forget" in own else None
        sets["forget"] = build_forget_set(sd, plan, relabels, seed, team)
    if "anchor" in plan.roles:
        sets["anchor"] = build_anchor_set(sd, plan, relabel or "random", seed, team)
    if "retain" in plan.roles:
        sets["retain"] = build_retain_set(sd, plan, seed, team)
    if "prompts" in own:
        concept = plan.concept
        asked = concept.names if settings.prompts == "name" else concept.forget_prompts
        sets["prompts"] = PromptSet(asked, sd.encode(asked), sd.encode_nothing())
    return sets


def build_forget_set(
    sd: Bundle, plan: Plan, relabel: str | None, seed: int, team: Team = ALONE
) -> RetainSet:
    """Images of the concept: a ForgetSet, with `random`, `fixed`, or a prompt for `relabel`."""
    images = _build_set(sd, plan, "forget", plan.concept.in_turn(), seed, team)
    if relabel is None:
        return images
    if relabel == "random":
        return add_relabels(sd, images, plan.concept.relabel_candidates)
    prompt = plan.concept.fixed_relabel_prompt if relabel == "fixed" else relabel
    if prompt is None:
        raise UsageError(
            f"--relabel fixed: {plan.concept.name!r} has none; give a prompt in quotes"
        )
    return add_relabels(sd, images, lambda _: (prompt,))


def build_anchor_set(
    sd: Bundle, plan: Plan, anchor: str, seed: int, team: Team = ALONE
) -> AnchorSet:
    """Images of what takes the concept's place, each with the forget prompt that is to give it.

    At `random` it is one of the things that the forget prompt may be relabelled to; else the forget
    prompt with other words, the `anchor`, for the concept's.
    """
    concept, draw = plan.concept, Random(f"{seed}/anchor")
    pool = {
        prompt: concept.relabel_candidates(prompt)
        if anchor == "random"
        else (concept.reworded(prompt, anchor.strip()),)
        for prompt in concept.in_turn()
    }
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
    return _build_set(sd, plan, "retain", plan.concept.retain_prompts, seed, team)


def held_prompts(sd: Bundle, plan: Plan, retain: RetainSet) -> Conditioning:
    """The guard's: prompts to be kept, and not of the retain set as far as there are others."""
    return sd.encode(held_out(plan.concept.retain_prompts, retain.prompts, PROMPTS))


def _build_set(
    sd: Bundle, plan: Plan, role: str, prompts: tuple[str, ...], seed: int, team: Team
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
            )
        bar.update(own - bar.n)
    return images
