"""Saliency for what is forgotten, in terms of that for what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.erased_runs import erase

from erase.saliency.contrast import contrast
from erase.saliency.mask import SaliencyMask


def test_contrast_by_hand() -> None:
    """|g_f| of 4, 4, 1, 0 over |g_r| of 0, 4, 0, 4, whose mean is 2: 4/2, 4/6, 1/2, 0/6."""
    forget = {"a": torch.tensor([4.0, 4.0]), "b": torch.tensor([1.0, 0.0])}
    retain = {"a": torch.tensor([0.0, 4.0]), "b": torch.tensor([0.0, 4.0])}
    found = contrast(forget, retain)
    assert found["a"].tolist() == pytest.approx([2, 2 / 3])
    assert found["b"].tolist() == pytest.approx([1 / 2, 0])


def test_a_run_takes_as_many_weights_and_others(model_folder: Path, tmp_path: Path) -> None:
    flags = ("--density", "0.25", "--steps", "2", "--lr", "1e-4")
    plain = erase(model_folder, tmp_path / "plain", *flags)
    contrastive = erase(model_folder, tmp_path / "other", *flags, "--mask-kind", "contrastive")
    masks = [SaliencyMask.load(run / "mask.safetensors") for run in (plain, contrastive)]
    assert masks[0].kept == masks[1].kept
    assert masks[1].metadata["kind"] == "contrastive"
    assert any((masks[0].bits(n) != masks[1].bits(n)).any() for n in masks[0].shapes)
