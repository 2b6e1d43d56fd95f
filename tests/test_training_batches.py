"""What a step of SalUn sees: whose images, under which prompts, and what they are to look like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.trainings import DRAWING, PROMPTS

from erase.diffusion.conditioning import Conditioning
from erase.image_sets.datasets import AnchorSet, add_relabels, draw_set
from erase.models.bundle import Bundle
from erase.training.batches import Draw, draw_steps

OTHERS = {"a church": "a dog", "an image of a church": "an image of a dog", "churches": "dogs"}
KEPT = ("an owl", "a tree", "a cow")


@pytest.fixture
def sets(tiny: Bundle, tmp_path: Path) -> dict[str, Any]:
    """Two images of each set; the forget and the retain set have a prompt more than images."""

    def draw(prompts: tuple[str, ...], role: str, *also: str) -> Any:
        told: dict[str, Any] = {"seed": 0, "role": role, "drawing": DRAWING, "cache": tmp_path}
        return draw_set(tiny, prompts, 2, also=also, **told)

    anchors = draw(tuple(OTHERS[p] for p in PROMPTS), "anchor")
    index = {"concept_index": torch.tensor([0, 1]), "concept_conditioning": tiny.encode(PROMPTS)}
    forget = draw(PROMPTS, "forget", "churches")
    return {
        "forget": add_relabels(tiny, forget, lambda prompt: (OTHERS[prompt],)),
        "retain": draw(KEPT[:2], "retain", KEPT[2]),
        "anchor": AnchorSet(**vars(anchors), **index),
    }


def drawn(sd: Bundle, sets: dict[str, Any], **changes: Any) -> list[Draw]:
    told: dict[str, Any] = {"steps": 12, "batch_size": 4, "seed": 0} | changes
    return list(draw_steps(sd.schedule, sd.vae.config["scaling_factor"], **sets, **told))


def named(sd: Bundle, told: Conditioning, prompts: tuple[str, ...]) -> list[str]:
    """Which of some prompts each row is."""
    known = sd.encode(prompts).embeddings
    apart = (told.embeddings[:, None] - known[None]).abs().amax(dim=(2, 3))
    assert bool((apart.min(dim=1).values < 1e-5).all())
    return [prompts[i] for i in apart.argmin(dim=1).tolist()]


def pairs(sd: Bundle, draw: Draw) -> list[tuple[str, str]]:
    """What each forget image is seen under, and what it is to look like."""
    asked = named(sd, draw.forget.conditioning, tuple(OTHERS))
    return list(zip(asked, named(sd, draw.relabels, tuple(OTHERS.values())), strict=True))


@pytest.mark.parametrize("mix", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("anchors", [0, 2])
def test_every_prompt_of_the_concept_has_its_own_answer(
    tiny: Bundle, sets: dict[str, Any], anchors: int, mix: float
) -> None:
    seen: set[str] = set()
    for draw in drawn(tiny, sets, anchors=anchors, mix=mix):
        found = pairs(tiny, draw)
        assert len(found) == len(draw.retain) == 4
        assert all(OTHERS[asked] == answer for asked, answer in found)
        seen |= {asked for asked, _ in found}
    assert seen == ({*OTHERS} if mix else {*PROMPTS})


def test_the_last_forget_images_are_of_what_takes_the_concepts_place(
    tiny: Bundle, sets: dict[str, Any]
) -> None:
    """Latents of 5 against -5, almost without a variance: x_t and its noise tell which it was."""
    shape = sets["forget"].posterior[torch.tensor([0])].shape[2:]
    for name, value in (("forget", 5.0), ("anchor", -5.0)):
        means, logvars = torch.full((2, *shape), value), torch.full((2, *shape), -30.0)
        sets[name] = replace(sets[name], posterior=torch.stack([means, logvars], dim=1))
    for draw in drawn(tiny, sets, anchors=3, steps=4):
        alphas = tiny.schedule.alphas_cumprod[draw.forget.timesteps].view(-1, 1, 1, 1)
        clean = draw.forget.noisy_latents - (1 - alphas).sqrt() * draw.forget.target
        assert (clean.mean(dim=(1, 2, 3)) > 0).tolist() == [True, False, False, False]


def test_retained_images_are_seen_under_all_that_is_to_be_kept(
    tiny: Bundle, sets: dict[str, Any]
) -> None:
    def kept(**changes: Any) -> set[str]:
        found = drawn(tiny, sets, mix=0.5, **changes)
        return {name for draw in found for name in named(tiny, draw.retain.conditioning, KEPT)}

    assert kept() == {*KEPT}
    assert kept(mix_retain=False) == {*KEPT[:2]}


def test_the_same_seed_draws_the_same(tiny: Bundle, sets: dict[str, Any]) -> None:
    told = {"anchors": 2, "mix": 0.5}
    one, two, other = (drawn(tiny, sets, **told, seed=seed) for seed in (0, 0, 1))
    for a, b, c in zip(one, two, other, strict=True):
        assert torch.equal(a.forget.noisy_latents, b.forget.noisy_latents)
        assert torch.equal(a.relabels.embeddings, b.relabels.embeddings)
        assert torch.equal(a.retain.conditioning.embeddings, b.retain.conditioning.embeddings)
        assert not torch.equal(a.forget.noisy_latents, c.forget.noisy_latents)
