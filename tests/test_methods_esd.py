"""Laws of ESD, on a tiny real model."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.esd_by_hand import BATCH, SEED, STEPS, loss_by_hand, starts
from support.trainings import NUMBERS, half, make_sets, train

from erase.methods.esd import away_from
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.training.trajectories import draw_stops, passes
from plumbing.passes import PassCounter


def test_the_target_by_hand() -> None:
    """Without the concept 1, with it 3: away from it by eta times the 2 between them."""
    without, with_it = torch.tensor(1.0), torch.tensor(3.0)
    assert away_from(without, with_it, 1.0) == -1 and away_from(without, with_it, 0.5) == 0


@pytest.mark.parametrize("trajectory", ["original", "current"])
def test_its_losses_are_the_papers(tiny: Bundle, tmp_path: Path, trajectory: str) -> None:
    """Of the second step, when the student is no longer the original, whoever makes x_t."""
    sets, original, after = make_sets(tiny, tmp_path), copy.deepcopy(tiny.unet), []
    more: dict[str, Any] = {"progress": lambda *_: after.append(copy.deepcopy(tiny.unet))}
    rows, _ = train("esd", tiny, sets, trajectory=trajectory, lr=1e-2, **more)
    first, second, _ = starts(sets["prompts"], 3)
    found = loss_by_hand(original, original, original, tiny, first)
    assert rows[0].losses["forget"] == pytest.approx(found, rel=1e-5, abs=1e-6)
    guide = after[0] if trajectory == "current" else original
    found = loss_by_hand(after[0], guide, original, tiny, second)
    assert rows[1].losses["forget"] == pytest.approx(found, rel=1e-5, abs=1e-6)
    other = original if trajectory == "current" else after[0]
    wrong = loss_by_hand(after[0], other, original, tiny, second)
    assert rows[1].losses["forget"] != pytest.approx(wrong, rel=1e-4)


def test_what_the_teacher_says_ahead_is_what_a_copy_would(
    model_folder: Path, tmp_path: Path
) -> None:
    results = []
    for ahead in (True, False):
        sd = load_checkpoint(str(model_folder), device="cpu")
        rows, _ = train("esd", sd, make_sets(sd, tmp_path), half(sd), teach_ahead=ahead)
        results.append(([row.losses for row in rows], sd.unet.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(results[0][1][name], t) for name, t in results[1][1].items())


def test_no_pass_is_made_twice(tiny: Bundle, tmp_path: Path) -> None:
    """Two rows a step of each trajectory, two for its target, three for the student."""
    sets = make_sets(tiny, tmp_path)
    with PassCounter() as counter:
        counter.watch("denoiser", tiny.unet)
        train("esd", tiny, sets)
        counted = counter.take().denoiser
    stops = int(draw_stops(3, BATCH, SEED, STEPS).sum())
    assert counted == 2 * stops + 3 * BATCH * (2 + 3)
    assert passes(SimpleNamespace(**NUMBERS["esd"])) == 2 * stops
    assert passes(SimpleNamespace(**NUMBERS["esd"] | {"trajectory_guidance": 1.0})) == stops


def test_trajectories_stop_anywhere_but_at_the_end() -> None:
    stops = draw_stops(500, 2, 0, 5)
    assert stops.shape == (500, 2) and stops.unique().tolist() == [0, 1, 2, 3, 4]
    assert draw_stops(500, 2, 0, 5, first=1).unique().tolist() == [1, 2, 3, 4]
    assert torch.equal(draw_stops(3, 2, 0, 5), stops[:3]), "a shorter training begins alike"


def test_training_leads_away_from_the_concept(tiny: Bundle, tmp_path: Path) -> None:
    sets, original = make_sets(tiny, tmp_path), copy.deepcopy(tiny.unet)
    train("esd", tiny, sets, steps=40, lr=3e-4)
    seen = starts(sets["prompts"], 6)
    before, after = (
        sum(loss_by_hand(unet, original, original, tiny, start) for start in seen)
        for unet in (original, tiny.unet)
    )
    assert after < 0.5 * before
