"""Laws of the method, on a tiny real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.salun_steps import DEFAULTS, make_sets, train, weights
from torch import Tensor

from erase.methods.salun import (
    anchor_rows,
    attack_loss,
    erase,
    forget_saliency,
    relabel_loss,
    retain_loss,
    saliency_loss,
)
from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.training import loop
from erase.training.loop import Kit
from erase.training.step_log import StepRow


def test_losses_by_hand() -> None:
    """Predictions (1, 2) against (3, 2): squares 4, 0; mean 2. As one image of two values in a
    batch of one, saliency is -2; the same image twice counts twice, -4.
    """
    pred, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]])
    assert relabel_loss(pred, target).item() == retain_loss(pred, target).item() == 2
    assert saliency_loss(pred, target).item() == -2
    assert saliency_loss(pred.repeat(2, 1), target.repeat(2, 1)).item() == -4


def test_weighted_losses_are_means_by_weight() -> None:
    """Squares 4 and 1 of two images; with weights 1 and 3, (4 + 3) / (1 + 3)."""
    pred, target = torch.zeros(2, 1, 1, 1), torch.tensor([2.0, 1.0]).view(2, 1, 1, 1)
    weight = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert relabel_loss(pred, target, weight).item() == pytest.approx(7 / 4)
    assert retain_loss(pred, target, weight).item() == pytest.approx(7 / 4)


def test_the_teacher_gets_no_gradient() -> None:
    pred, teacher = (torch.ones(1, requires_grad=True) for _ in range(2))
    relabel_loss(pred, teacher * 2).backward()
    assert pred.grad is not None
    assert teacher.grad is None


def test_the_saliency_of_small_passes_is_that_of_one(tiny: Bundle, tmp_path: Path) -> None:
    forget, _ = make_sets(tiny, tmp_path, "a dog")
    parameters = tiny.trainable("full")
    told: dict[str, Any] = {"guidance": 7.5, "batch_size": 4, "seed": 0}
    whole, parts = (
        forget_saliency(tiny, parameters, forget, Kit(micro_batch=size), **told) for size in (4, 1)
    )
    for name, saliency in whole.items():
        torch.testing.assert_close(parts[name], saliency, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("batch_size", "share", "rows"), [(16, 0.5, 8), (16, 0.99, 15), (1, 0.9, 0)]
)
def test_one_image_at_least_shows_the_concept(batch_size: int, share: float, rows: int) -> None:
    assert anchor_rows(batch_size, share) == rows


def test_what_adversaries_find_counts_as_much_as_a_prompt() -> None:
    """Squares 4 and 1 of the first two of three images, weights 1, 3, 4: (4 + 3) / 8."""
    pred, wanted = torch.zeros(2, 1, 1, 1), torch.tensor([2.0, 1.0]).view(2, 1, 1, 1)
    weight = torch.tensor([1.0, 3.0, 4.0]).view(3, 1, 1, 1)
    assert attack_loss(pred, wanted, weight, slice(0, 2)).item() == pytest.approx(7 / 8)
    assert attack_loss(pred[:0], wanted[:0], weight, slice(2, 2)).item() == 0


def test_adversaries_see_through_activations_that_are_computed_again(
    model_folder: Path, tmp_path: Path
) -> None:
    losses = []
    for again in (False, True):
        sd = load_checkpoint(str(model_folder), device="cpu")
        if again:
            sd.denoiser.enable_gradient_checkpointing()
        rows, _ = train(sd, tmp_path, 0.5, adversaries=2)
        losses.append([row.losses for row in rows])
    for plain, checkpointed in zip(*losses, strict=True):
        assert checkpointed == pytest.approx(plain, rel=1e-4)
        assert plain["attack"] > 0


@pytest.mark.parametrize("teacher", ["frozen", "current"])
def test_nothing_to_forget_if_the_relabel_prompt_is_the_forget_prompt(
    tiny: Bundle, tmp_path: Path, teacher: str
) -> None:
    """Teacher and student are equal in the first step: so are their predictions for one prompt."""
    rows, _ = train(tiny, tmp_path, 0.5, "a church", steps=1, teacher=teacher)
    assert rows[0].losses["forget"] == pytest.approx(0, abs=1e-10)
    assert rows[0].losses["retain"] > 0.1


def test_nothing_moves_where_the_original_agrees_with_both_targets(
    tiny: Bundle, tmp_path: Path
) -> None:
    """Relabelled to itself and held to its own predictions: both losses are 0, and stay so."""
    changes: dict[str, Any] = {"retain_target": "teacher", "steps": 2}
    for row in train(tiny, tmp_path, 0.5, "a church", **changes)[0]:
        assert (row.losses["forget"], row.losses["retain"]) == pytest.approx((0, 0), abs=1e-8)


def test_a_taught_retain_loss_leaves_out_what_no_weights_can_lower(
    tiny: Bundle, tmp_path: Path
) -> None:
    """Both begin with the same images, noise and weights; against the noise an error is left."""
    noise, _ = train(tiny, tmp_path, 0.5, steps=1)
    taught, _ = train(tiny, tmp_path, 0.5, steps=1, retain_target="teacher")
    assert taught[0].losses["retain"] < noise[0].losses["retain"]


@pytest.mark.parametrize("teacher", ["frozen", "current"])
def test_only_selected_weights_change(tiny: Bundle, tmp_path: Path, teacher: str) -> None:
    before = weights(tiny)
    rows, mask = train(tiny, tmp_path, 0.3, teacher=teacher)
    changed = 0
    for name, tensor in weights(tiny).items():
        differs = tensor != before[name]
        assert not (differs & ~mask[name]).any()
        changed += int(differs.sum())
    selected = sum(int(bits.sum()) for bits in mask.values())
    assert 0.9 * selected < changed <= selected
    assert [row.step for row in rows] == [1, 2, 3]


def test_same_seed_same_weights(model_folder: Path, tmp_path: Path) -> None:
    def result(seed: int) -> dict[str, Tensor]:
        sd = load_checkpoint(str(model_folder), device="cpu")
        train(sd, tmp_path, 0.5, seed=seed)
        return weights(sd)

    first, second, other = result(0), result(0), result(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_lowers_both_losses(tiny: Bundle, tmp_path: Path) -> None:
    rows, _ = train(tiny, tmp_path, 1.0, steps=24, lr=1e-2, batch_size=8)

    def mean(part: list[StepRow]) -> tuple[float, float]:
        count = len(part)
        return sum(r.losses["forget"] for r in part) / count, sum(
            r.losses["retain"] for r in part
        ) / count

    (_, retain_before), (_, retain_after) = mean(rows[:6]), mean(rows[-6:])
    assert retain_after < retain_before
    alone, _ = train(tiny, tmp_path / "again", 1.0, steps=24, lr=1e-2, batch_size=8, alpha=0)
    assert mean(alone[-6:])[0] < mean(alone[:6])[0]


def test_linear_decay_ends_near_zero(tiny: Bundle, tmp_path: Path) -> None:
    """Four steps from 1: 1, 3/4, 1/2, 1/4."""
    rows, _ = train(tiny, tmp_path, 0.5, steps=4, lr=1e-3, lr_schedule="linear")
    assert [row.lr for row in rows] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])


def test_v_prediction_and_bfloat16_train_too(other_model_folder: Path, tmp_path: Path) -> None:
    logs = []
    for dtype in (torch.float32, torch.bfloat16):
        sd = load_checkpoint(str(other_model_folder), device="cpu")
        rows, _ = train(sd, tmp_path, 0.5, dtype=dtype)
        logs.append([row.losses for row in rows])
        assert next(sd.unet.parameters()).dtype == torch.float32
    assert logs[0] != logs[1]
    for plain, rounded in zip(*logs, strict=True):
        assert rounded == pytest.approx(plain, rel=0.05)


def test_training_in_bfloat16_rounds_no_weight_that_it_does_not_move(
    tiny: Bundle, tmp_path: Path
) -> None:
    """With next to no rate the trained weights are the base's own, to far below bfloat16."""
    before = weights(tiny)
    forget, retain = make_sets(tiny, tmp_path, "a dog")
    parameters = tiny.trainable("full")
    mask = {name: torch.ones_like(p, dtype=torch.bool) for name, p in parameters.items()}
    tiny.unet.to(torch.bfloat16)
    kit = Kit(dtype=torch.bfloat16, values=before)
    numbers = DEFAULTS | {"lr": 1e-12}
    _, optimizer = erase(tiny, parameters, mask, forget, retain, kit, **numbers)
    for name, tensor in before.items():
        torch.testing.assert_close(optimizer.merged(name, tensor), tensor, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_passes_train_the_same(
    tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """Seen by the compiler, and for minutes compiled: what rounding leaves is far below a step."""
    monkeypatch.setattr(
        loop, "compiled", lambda unet: torch.compile(unet, dynamic=False, backend=backend)
    )
    forget, retain = make_sets(tiny, tmp_path, "a dog")
    parameters, before = tiny.trainable("full"), weights(tiny)
    mask = {name: torch.ones_like(p, dtype=torch.bool) for name, p in parameters.items()}
    tiny.unet.to(torch.bfloat16)
    logs = []
    for compiled in (False, True):
        kit = Kit(dtype=torch.bfloat16, values=before, compiled=compiled)
        numbers = DEFAULTS | {"lr": 1e-5}
        rows, _ = erase(tiny, parameters, mask, forget, retain, kit, **numbers)
        logs.append([(row.losses["forget"], row.losses["retain"]) for row in rows])
        tiny.unet.load_state_dict(before)
    for plain, seen in zip(*logs, strict=True):
        assert seen == pytest.approx(plain, rel=0.02)
