"""Laws of concept ablation, on a tiny real model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.erased_runs import SHORT
from support.trainings import NUMBERS, make_sets, train

from erase.methods.ca import Anchored, draw_steps
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from expunge.parsing import parse
from expunge.runs.plan import Plan, make_plan
from expunge.runs.relabels import anchors
from expunge.runs.sets import build_anchor_set
from prompts.concept import load_concept

LR = 1e-2


def drawn(sd: Bundle, sets: dict[str, Any], steps: int) -> list[Anchored]:
    """What a training of so many steps sees."""
    scale, numbers = sd.vae.config["scaling_factor"], NUMBERS["ca"]
    told = {"steps": steps, "batch_size": numbers["batch_size"], "seed": numbers["seed"]}
    return list(draw_steps(sd.schedule, scale, sets["anchor"], **told))


@torch.no_grad()
def losses_by_hand(student: Any, teacher: Any, draw: Anchored) -> tuple[float, float]:
    """Image by image: (eps(x_t | c*) - eps_teacher(x_t | c))^2, and (eps(x_t | c) - noise)^2."""
    ablating, keeping = [], []
    seen = draw.anchor
    for i, t in enumerate(seen.timesteps):
        x, c = seen.noisy_latents[i : i + 1], seen.conditioning.embeddings[i : i + 1]
        renamed = student(x, t, draw.concept.embeddings[i : i + 1]).sample
        ablating.append((renamed - teacher(x, t, c).sample).square().mean())
        keeping.append((student(x, t, c).sample - seen.target[i : i + 1]).square().mean())
    return float(torch.stack(ablating).mean()), float(torch.stack(keeping).mean())


@pytest.mark.parametrize("teacher", ["frozen", "current"])
@pytest.mark.parametrize("prior", [0.0, 0.7])
def test_its_losses_are_the_papers(
    tiny: Bundle, tmp_path: Path, teacher: str, prior: float
) -> None:
    """In the second step the student is no longer the original, which a frozen teacher stays."""
    sets, original, after = make_sets(tiny, tmp_path), copy.deepcopy(tiny.unet), []
    more: dict[str, Any] = {"progress": lambda *_: after.append(copy.deepcopy(tiny.unet))}
    rows, _ = train("ca", tiny, sets, teacher=teacher, prior=prior, lr=LR, **more)
    first, second, _ = drawn(tiny, sets, 3)
    asked = original if teacher == "frozen" else after[0]
    for row, draw, models in (
        (rows[0], first, (original, original)),
        (rows[1], second, (after[0], asked)),
    ):
        ablating, keeping = losses_by_hand(*models, draw)
        wanted = {"forget": ablating, **({"prior": keeping} if prior else {})}
        assert row.losses == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_a_prior_weighs_its_own_gradient(model_folder: Path, tmp_path: Path) -> None:
    """At no weight it is not there; at a great one the anchors' noise is what is learned."""
    kept = {}
    for prior in (0.0, 100.0):
        sd = load_checkpoint(str(model_folder), device="cpu")
        sets = make_sets(sd, tmp_path)
        train("ca", sd, sets, prior=prior, steps=20)
        kept[prior] = losses_by_hand(sd.unet, sd.unet, drawn(sd, sets, 1)[0])[1]
    assert kept[100.0] < kept[0.0]


def test_weight_decay_takes_its_share_of_each_weight(model_folder: Path, tmp_path: Path) -> None:
    """AdamW: W - lr d W - the step of Adam; in one step from the same weights lr d W apart."""
    found = []
    for decay in (0.0, 0.1):
        sd = load_checkpoint(str(model_folder), device="cpu")
        before = {n: t.clone() for n, t in sd.unet.state_dict().items()}
        train("ca", sd, make_sets(sd, tmp_path), steps=1, lr=LR, weight_decay=decay)
        found.append(sd.unet.state_dict())
    for name, tensor in before.items():
        expected = found[0][name] - LR * 0.1 * tensor
        torch.testing.assert_close(found[1][name], expected, rtol=1e-5, atol=1e-6)


def planned(model: Path, out: Path, *flags: str) -> Plan:
    words = ["church", "--method", "ca", "--model", str(model), "--out", str(out), *SHORT]
    return make_plan("erase", parse(("erase",), [*words, "--forget-images", "7", *flags]))


def test_its_images_are_of_anchors_and_each_stands_for_a_prompt_of_the_concept(
    tiny: Bundle, model_folder: Path, tmp_path: Path
) -> None:
    plan = planned(model_folder, tmp_path / "run")
    images = build_anchor_set(tiny, plan, anchors(plan.concept, "random"), 0)
    asked = plan.concept.forget_prompts
    assert len(images) == 7 and len(images.concept_conditioning) == len(asked)
    shown = [images.prompts[i] for i in images.prompt_index]
    for caption, place in zip(shown, images.concept_index, strict=True):
        assert caption in plan.concept.relabel_candidates(asked[place])
        assert not plan.concept.named_in(caption)
    again = build_anchor_set(tiny, plan, anchors(plan.concept, "random"), 0)
    other = build_anchor_set(tiny, plan, anchors(plan.concept, "random"), 1)
    assert (again.prompts, again.concept_index.tolist()) == (
        images.prompts,
        images.concept_index.tolist(),
    )
    assert other.prompts != images.prompts


def test_words_take_the_place_of_the_concepts_own(
    tiny: Bundle, model_folder: Path, tmp_path: Path
) -> None:
    plan = planned(model_folder, tmp_path / "run", "--anchor", "building")
    images = build_anchor_set(tiny, plan, anchors(plan.concept, "building"), 0)
    assert all("building" in prompt for prompt in images.prompts)
    concept = load_concept("church")
    assert (
        concept.reworded("an image of a church, at night", "inn") == "an image of an inn, at night"
    )
    assert concept.reworded("a steeple", "inn") == "inn"
