"""`expunge verify` of a single file: what one wrong bit, name or copy in it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.single_files import UNET as PREFIX
from support.single_files import ldm_name, save_single
from support.verified_files import (
    UNSELECTED,
    Change,
    Tensors,
    altered,
    export,
    failed,
    flipped,
    of_file,
    renamed,
    ruined,
    skipped,
    states,
)

from erase.saliency.mask import SaliencyMask

CONV = f"{PREFIX}input_blocks.0.0.bias"
VAE = "first_stage_model.decoder.conv_in.bias"


def test_a_single_file_of_a_single_file(single: Path, capsys: Any) -> None:
    """In half precision, its EMA left out, alone, with the base, and with the run."""
    file, run = single / "erased.safetensors", ("--run", str(single / "run"))
    assert set(states(file, capsys, *run).values()) == {"ok"}
    assert skipped(file, capsys, *of_file(single)) == {"as the run gives"}
    assert not failed(file, capsys)


def test_an_ema_that_was_overwritten_passes(single: Path, tmp_path: Path, capsys: Any) -> None:
    to = export(single / "run", tmp_path / "ema.safetensors", "single-file", "--ema", "overwrite")
    assert set(states(to, capsys, "--run", str(single / "run")).values()) == {"ok"}
    # One that the base had is seen without the base, too.
    copy = "model_ema.diffusion_modeloutput_blocks00in_layers0weight"
    wrong = altered(to, tmp_path / "wrong.safetensors", flipped(copy))
    for flags in (("--run", str(single / "run")), of_file(single), ()):
        assert failed(wrong, capsys, *flags) == {"copies of the UNet"}


def _text(tensors: Tensors) -> None:
    flipped("cond_stage_model.transformer.text_model.final_layer_norm.bias")(tensors)


def _added(tensors: Tensors) -> None:
    tensors["spare"] = torch.zeros(2)


@pytest.mark.parametrize(
    ("change", "with_run", "with_base", "alone"),
    [
        (flipped(CONV), UNSELECTED, UNSELECTED - {"as the run gives"}, set()),
        (_text, {"everything else"}, {"everything else"}, set()),
        (flipped("betas"), {"everything else"}, {"everything else"}, set()),
        (_added, {"names and shapes"}, {"names and shapes"}, set()),
        (renamed(VAE), {"names and shapes"}, {"names and shapes"}, set()),
        (ruined(VAE), {"everything else"}, {"everything else"}, {"finite"}),
        (
            renamed(CONV),
            {"names and shapes"},
            {"names and shapes"},
            set(),
        ),
        (
            ruined(CONV),
            UNSELECTED | {"finite"},
            (UNSELECTED | {"finite"}) - {"as the run gives"},
            {"finite"},
        ),
    ],
)
def test_a_wrong_tensor_in_a_single_file(
    change: Change,
    with_run: set[str],
    with_base: set[str],
    alone: set[str],
    single: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    wrong = altered(single / "erased.safetensors", tmp_path / "wrong.safetensors", change)
    assert failed(wrong, capsys, "--run", str(single / "run")) == with_run
    assert failed(wrong, capsys, *of_file(single)) == with_base
    assert failed(wrong, capsys) == alone


def test_a_selected_weight_that_is_not_the_runs(single: Path, tmp_path: Path, capsys: Any) -> None:
    """The base alone cannot tell; the run can."""
    mask = SaliencyMask.load(single / "run" / "mask.safetensors")
    name = next(n for n in mask.shapes if mask.bits(n).any())
    place = int(mask.bits(name).flatten().nonzero()[0])
    wrong = altered(
        single / "erased.safetensors",
        tmp_path / "wrong.safetensors",
        flipped(PREFIX + ldm_name(name), place),
    )
    assert failed(wrong, capsys, "--run", str(single / "run")) == {"as the run gives"}
    assert not failed(wrong, capsys, *of_file(single))


def test_a_trained_weight_that_the_mask_does_not_select(
    single: Path, tmp_path: Path, capsys: Any
) -> None:
    mask = SaliencyMask.load(single / "run" / "mask.safetensors")
    name = next(n for n in mask.shapes if 0 < int(mask.bits(n).sum()) < mask.bits(n).numel())
    place = int((~mask.bits(name)).flatten().nonzero()[0])
    change = flipped(PREFIX + ldm_name(name), place)
    wrong = altered(single / "erased.safetensors", tmp_path / "wrong.safetensors", change)
    assert failed(wrong, capsys, "--run", str(single / "run")) == UNSELECTED


def _ema_back(tensors: Tensors, base: Tensors) -> None:
    tensors.update({n: t for n, t in base.items() if n.startswith("model_ema.")})


def _hidden(tensors: Tensors, base: Tensors) -> None:
    """An original weight in place of another part's, under a name without a meaning."""
    erased = {n: t for n, t in tensors.items() if n.startswith(PREFIX)}
    name = next(n for n, t in erased.items() if not torch.equal(t, base[n]))
    tensors["spare.17"] = base[name].float()


@pytest.mark.parametrize(
    ("put_back", "expected"),
    [
        (_ema_back, {"copies of the UNet"}),
        (_hidden, {"names and shapes", "originals left"}),
    ],
)
def test_an_original_that_was_left(
    put_back: Callable[[Tensors, Tensors], None],
    expected: set[str],
    single: Path,
    tmp_path: Path,
    capsys: Any,
) -> None:
    base = load_file(single / "base.safetensors")
    wrong = altered(
        single / "erased.safetensors",
        tmp_path / "wrong.safetensors",
        lambda tensors: put_back(tensors, base),
    )
    assert failed(wrong, capsys, "--run", str(single / "run")) == expected
    assert failed(wrong, capsys, *of_file(single)) == expected
    # Alone, an EMA can be told from the UNet beside it.
    assert failed(wrong, capsys) == expected & {"copies of the UNet"}


def test_metadata_that_cannot_be(single: Path, tmp_path: Path, capsys: Any) -> None:
    for key, value in (("strength", "much"), ("deltas", "{}"), ("base", "")):
        tensors = load_file(single / "erased.safetensors")
        told = {"expunge.concept": "church", "expunge.base": "0" * 64, f"expunge.{key}": value}
        wrong = save_single(tmp_path / "wrong.safetensors", tensors, **told)
        assert failed(wrong, capsys) == {"metadata"}
