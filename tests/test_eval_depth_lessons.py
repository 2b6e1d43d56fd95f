"""What attacks learn from: images that the original draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.attack_runs import ByteJudge
from support.depth_runs import DRAWING, LESSON, MakeAttacks, small

from erase.models.checkpoint import load_checkpoint
from eval.depth import images
from expunge.evaluations.under_attack import UnderAttack
from plumbing.errors import UsageError


def test_a_concept_that_the_original_does_not_draw_cannot_be_attacked(
    attack_tiny: MakeAttacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LEAST", 8)
    with pytest.raises(UsageError, match="the original's images show it in 0 of 10, fewer"):
        attack_tiny(small(("words",)), judge=ByteJudge(0))


def test_rows_of_prompts_are_drawn_from_their_own_seeds_and_chosen(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As UnlearnDiffAtk chose its prompts: by the original's image and the judge's score."""
    monkeypatch.setattr(images, "LEAST", 1)
    bundle = load_checkpoint(str(model_folder), device="cpu")
    original = UnderAttack(bundle, sha256="x", steps=2, guidance=5.0, lr=None)
    prompts = tuple(f"prompt {i}" for i in range(12))
    drawing = DRAWING
    lesson = replace(LESSON, prompts=prompts, seeds=tuple(range(12)), surest=0.75)
    aim = images.draw_lessons(lesson, original, drawing, ByteJudge(), ("church",), tmp_path)
    files = sorted(tmp_path.glob("lesson-*/concept/*.png"))
    seen = [p.label == "church" for p in ByteJudge().classify(files)]
    assert aim.prompts == tuple(p for p, hit in zip(prompts, seen, strict=True) if hit)
    assert 0 < len(aim.images) < 12 and len(files) == 12
    lesson = replace(lesson, surest=0.95)
    with pytest.raises(UsageError, match="in 0 of 12"):
        images.draw_lessons(lesson, original, drawing, ByteJudge(), ("church",), tmp_path / "sure")
