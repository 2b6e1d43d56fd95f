"""Rows to draw and how: two steps of a tiny model."""

from __future__ import annotations

from dataclasses import dataclass

from eval.generation.generate import Drawing

DRAWING = Drawing(sampler="ddim", steps=2, guidance_scale=3.0, size=(16, 16), dtype="float32")


@dataclass(frozen=True)
class Row:
    id: str
    prompt: str
    seed: int


ROWS = [Row(f"{i:03d}", ("a church", "a dog", "church")[i % 3], 100 + i) for i in range(7)]
