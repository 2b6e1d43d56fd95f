"""The forget and retain sets of a run, drawn or read."""

from __future__ import annotations

from tqdm import tqdm

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import (
    ForgetSet,
    RetainSet,
    add_relabels,
    draw_set,
    read_set,
)
from erase.models.bundle import Bundle
from erase.training.drift import PROMPTS, held_out
from expunge.runs.plan import Plan
from plumbing.errors import UsageError
from plumbing.processes import ALONE, Team


def build_forget_set(
    sd: Bundle, plan: Plan, relabel: str, seed: int, team: Team = ALONE
) -> ForgetSet:
    """Images of the concept; `relabel` is `random`, `fixed`, or a prompt."""
    images = _build_set(sd, plan, "forget", plan.concept.forget_prompts, seed, team)
    if relabel == "random":
        return add_relabels(sd, images, plan.concept.relabel_candidates)
    prompt = plan.concept.fixed_relabel_prompt if relabel == "fixed" else relabel
    if prompt is None:
        raise UsageError(
            f"--relabel fixed: {plan.concept.name!r} has none; give a prompt in quotes"
        )
    return add_relabels(sd, images, lambda _: (prompt,))


def build_retain_set(sd: Bundle, plan: Plan, seed: int, team: Team = ALONE) -> RetainSet:
    """Images of everything else."""
    return _build_set(sd, plan, "retain", plan.concept.retain_prompts, seed, team)


def held_prompts(sd: Bundle, plan: Plan, retain: RetainSet) -> Conditioning:
    """The guard's: prompts to be kept, and not of the retain set as far as there are others."""
    return sd.encode(held_out(plan.concept.retain_prompts, retain.prompts, PROMPTS))


def _build_set(
    sd: Bundle, plan: Plan, role: str, prompts: tuple[str, ...], seed: int, team: Team
) -> RetainSet:
    captions = plan.captions.get(role)
    count = plan.data.forget_images if role == "forget" else plan.data.retain_images
    count = len(captions) if captions else count
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
