"""An image that another evaluation of the same model has drawn is not drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.drawn_rows import DRAWING, ROWS

from erase.models.bundle import Bundle
from eval.generation.cost import cost_of, drawing_cost
from eval.generation.generate import Drawing
from eval.generation.image_log import image_path, read_generations
from eval.generation.pair import NO_BAR, ModelPair, Subject, draw_pair
from eval.metrics.schema import Cost

Ask = Callable[..., dict[str, Cost]]


@pytest.fixture
def ask(tiny: Bundle, tmp_path: Path) -> Ask:
    """Draws rows for an evaluation of a name; what it called the UNet for is in `calls`."""
    calls: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple, output: object) -> None:
        calls.append(1)

    tiny.denoiser.register_forward_hook(count)

    def draw(
        name: str, siblings: tuple[str, ...] = (), drawing: Drawing = DRAWING, model: str = "m"
    ) -> dict[str, Cost]:
        calls.clear()
        pair = ModelPair(
            None,
            Subject("erased", model, lambda: tiny.pipeline("ddim")),
            out=tmp_path / name,
            originals=tmp_path / "originals",
            batch_size=4,
            open_bar=lambda total, done: NO_BAR,
            siblings=[tmp_path / other / "erased" for other in siblings],
        )
        rows = ROWS if name == "first" else [replace(row, id=f"new-{row.id}") for row in ROWS]
        assert draw_pair(rows, pair, drawing)
        draw.calls = len(calls)  # type: ignore[attr-defined]
        return drawing_cost(tmp_path / name)

    return draw


def test_the_same_request_is_linked_under_its_new_name(ask: Ask, tmp_path: Path) -> None:
    first = ask("first")
    assert ask.calls > 0  # type: ignore[attr-defined]
    second = ask("second", ("first", "nothing there"))
    assert ask.calls == 0  # type: ignore[attr-defined]
    assert first == second == {"erased": first["erased"]}
    for row in ROWS:
        images = [
            image_path(tmp_path / name / "erased", row_id)
            for name, row_id in (("first", row.id), ("second", f"new-{row.id}"))
        ]
        assert images[0].samefile(images[1])
    assert len(read_generations(tmp_path / "second" / "erased")) == len(ROWS)


@pytest.mark.parametrize("other", ["steps", "model"])
def test_what_was_asked_otherwise_is_drawn(ask: Ask, other: str) -> None:
    ask("first")
    if other == "steps":
        ask("second", ("first",), replace(DRAWING, steps=DRAWING.steps + 1))
    else:
        ask("second", ("first",), model="another")
    assert ask.calls > 0  # type: ignore[attr-defined]


def test_a_damaged_image_is_not_taken(ask: Ask, tmp_path: Path) -> None:
    ask("first")
    image_path(tmp_path / "first" / "erased", ROWS[0].id).write_bytes(b"damaged")
    ask("second", ("first",))
    assert 0 < ask.calls <= DRAWING.steps  # type: ignore[attr-defined]


def test_the_cost_counts_every_row_twice_a_guided_step(ask: Ask, tmp_path: Path) -> None:
    cost = ask("first")["erased"]
    assert (cost.images, cost.passes) == (len(ROWS), len(ROWS) * DRAWING.steps * 2)
    drawn = list(read_generations(tmp_path / "first" / "erased").values())
    assert cost.seconds == pytest.approx(sum(g.seconds for g in drawn), abs=0.1)
    assert cost_of([replace(drawn[0], passes=None), *drawn[1:]]).passes is None
    assert drawing_cost(tmp_path / "nothing") == {}
