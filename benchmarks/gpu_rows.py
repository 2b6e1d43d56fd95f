"""What benchmarks/gpu.py measures: a row a part, way, form and type."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.configs import XL
from benchmarks.training_steps import Form

Size = Literal["tiny", "tiny-xl", "sd15", "sdxl"]
TINY: tuple[Size, ...] = ("tiny", "tiny-xl")
Part = Literal["training", "mask", "attack", "drawing"]
IMAGES: dict[Size, int] = {"tiny": 2, "tiny-xl": 2, "sd15": 8, "sdxl": 2}
"""Of either set in a step, and in a batch: what 80 GB hold without recomputing."""
CARD = "small card"
"""Ours as it would be planned for a card of little memory, in place of this one's."""
CARDS: dict[tuple[str, str], float] = {("sd15", CARD): 9.3, ("sdxl", CARD): 9.8}
"""Gigabytes that are free beside the weights on a card of 12 GB and on one of 16 GB: 1 GB is
taken to be in use otherwise."""
_FORMS: dict[Part, tuple[Form, ...]] = {
    "training": get_args(Form),
    "mask": ("", "channels-last", "recomputed"),
    "attack": ("", "channels-last"),
    "drawing": ("", "compiled", "channels-last"),
}
_DTYPES: dict[Part, tuple[str, ...]] = {
    # The product refuses to train in float16: gradients underflow.
    "training": ("bfloat16",),
    # The product takes float32 for both; the others tell what it costs.
    "mask": ("float32", "bfloat16"),
    "attack": ("float32", "bfloat16", "float16"),
    "drawing": ("bfloat16", "float16"),
}


@dataclass(frozen=True)
class Row:
    """One thing to time."""

    size: Size
    part: Part
    way: str
    """`bare`, `ours` (of drawing `sets` and `images`) or `official`."""
    form: str
    """A `Form`, or `CARD`."""
    dtype: str
    images: int
    train_method: str

    @property
    def key(self) -> str:
        """What results are kept under."""
        named = (self.size, self.part, self.way, self.dtype, self.form, f"{self.images} images")
        return ", ".join(filter(None, named))

    @property
    def passes(self) -> Form:
        """How the passes are made."""
        return next((form for form in get_args(Form) if form == self.form), "")


def rows_of(size: Size, images: int | None = None) -> Iterator[Row]:
    """All of a size, with so many images at once; the first type of each part in every form."""
    for part, dtypes in _DTYPES.items():
        for way, dtype, form in _ways(size, part, dtypes):
            method = "xattn" if size in XL else "full"
            yield Row(size, part, way, form, dtype, images or IMAGES[size], method)


def _ways(size: Size, part: Part, dtypes: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    first, *others = dtypes
    # Sets are drawn by the model that is to be trained, which float16 is refused for.
    ways = ("bare", "sets", "images") if part == "drawing" else ("bare", "ours")
    for way in ways:
        yield from ((way, first, form) for form in _FORMS[part])
        yield from ((way, dtype, "") for dtype in others if way != "sets")
    if (size, CARD) in CARDS and part == "training":
        yield "ours", first, CARD
    if part == "drawing":
        yield "official", first, ""
    # There is no official code for SDXL, nor for an attack.
    elif part != "attack" and size not in XL:
        yield "official", "float32", ""
