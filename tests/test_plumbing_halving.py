"""When memory runs out while drawing, half as many images are drawn at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from erase.image_sets.datasets import draw_set
from erase.image_sets.drawing import Drawing
from erase.models.bundle import Bundle
from eval.generation.generate import Drawing as Drawn
from eval.generation.generate import generate
from eval.generation.image_log import image_path
from expunge.cli import main
from plumbing.halving import Halving

SHORTAGE = "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"


@dataclass(frozen=True)
class Row:
    id: str
    prompt: str
    seed: int


@contextmanager
def room_for(rows: int, unet: Any) -> Iterator[list[int]]:
    """Let a UNet take no more rows than that; gives the numbers that it was asked for."""
    asked: list[int] = []

    def limit(_: Any, arguments: tuple[Any, ...]) -> None:
        asked.append(len(arguments[0]))
        if len(arguments[0]) > rows:
            raise RuntimeError(SHORTAGE)

    hook = unet.register_forward_pre_hook(limit)
    try:
        yield asked
    finally:
        hook.remove()


def test_sets_are_drawn_in_halves_from_there_on(
    tiny: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawing = Drawing(sampler="ddim", steps=1, guidance_scale=3.0, batch_size=4)

    def draw(cache: Path) -> torch.Tensor:
        images = draw_set(
            tiny, ("a church", "a dog"), 7, seed=0, role="retain", drawing=drawing, cache=cache
        )
        return images.posterior[torch.arange(7)]

    whole = draw(tmp_path / "whole")
    # Of two rows each, for guidance.
    with room_for(2, tiny.unet) as asked:
        halved = draw(tmp_path / "halved")
    assert asked == [8, 4] + [2] * 7
    assert caplog.text.count("memory ran out: drawing images") == 2
    assert torch.allclose(whole, halved, atol=1e-4)


def test_evaluations_draw_in_halves_from_there_on(tiny: Bundle, tmp_path: Path) -> None:
    rows = [Row(f"{i}", "a church", i) for i in range(5)]
    drawing = Drawn(sampler="ddim", steps=1, guidance_scale=3.0, size=(16, 16), dtype="float32")

    def draw(out: Path) -> np.ndarray:
        generate(tiny.pipeline("ddim"), rows, out, drawing, model_hash="m", batch_size=4)
        return np.stack([np.asarray(Image.open(image_path(out, r.id)), np.int64) for r in rows])

    whole = draw(tmp_path / "whole")
    with room_for(4, tiny.unet) as asked:
        halved = draw(tmp_path / "halved")
    assert asked == [8, 4, 4, 2]
    # Float32 rounds otherwise in another batch.
    assert abs(whole - halved).max() <= 1 and (whole[0] != whole[1]).any()


def test_an_image_that_does_not_fit_alone_ends_in_one_line(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise RuntimeError(SHORTAGE)

    monkeypatch.setattr("diffusers.AutoencoderKL.decode", short)
    words = ["erase", "church", "--model", str(model_folder), "--out", str(tmp_path / "run")]
    assert main([*words, "--forget-images", "2", "--inference-steps", "1"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("expunge: error: memory ran out while drawing images one at a time")


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    in_halves = Halving("working", too_much=lambda error: False, release=lambda: None)

    def work(part: Sequence[int]) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        in_halves([1, 2], work)
