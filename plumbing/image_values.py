"""Grey pictures of more than 8 bits a pixel: which of their values is white?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plumbing.errors import UsageError

DEEP = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N", "F"))
"""Pillow's modes for them, which it would cut off at 255 rather than scale."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
"""TIFF's tags."""
_OVERSHOOT = 0.1
"""Of white, by which floats may pass it, as they do where a picture was made smaller."""


def in_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture of one of the `DEEP` modes, as L; UsageError if its white is not known.

    16 bits lose the lower 8, as those of 16-bit colours do in Pillow. Floats are from 0 to 1.
    """
    tags: Any = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if image.mode == "F":
        shown = _from_floats(values)
    elif image.mode == "I":
        signed_16 = tags.get(_SAMPLE_FORMAT, (1,))[0] == 2 and tags.get(_BITS, (32,))[0] == 16
        shown = _from_whole(values, known=image.format == "PPM", signed=signed_16)
    else:
        # TIFF has 12 bits, too, and Pillow leaves them where they are.
        shown = np.minimum(values >> (tags.get(_BITS, (16,))[0] - 8), 255)
    # White may be 0, which Pillow heeds where there are 8 bits or fewer.
    inverted = tags.get(_PHOTOMETRIC) == 0
    return Image.fromarray((255 - shown if inverted else shown).astype(np.uint8))


def _from_floats(values: NDArray[Any]) -> NDArray[Any]:
    low, high = float(values.min()), float(values.max())
    if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
        return np.rint(values.clip(0, 1) * 255)
    # What Pillow writes of an 8-bit picture that was made one of floats.
    if low >= 0 and high <= 255 and (values == np.rint(values)).all():
        return values
    raise _unknown(low, high, "of floats, those from 0 to 1 are")


def _from_whole(values: NDArray[Any], *, known: bool, signed: bool) -> NDArray[Any]:
    """Whole numbers of 32 bits, which mostly hold a 16-bit picture; `known` if surely."""
    low, high = int(values.min()), int(values.max())
    if not known and (low < 0 or not 255 < high < 65536 or signed):
        raise _unknown(low, high, "of 32-bit numbers, those of a 16-bit picture are")
    return values >> 8


def _unknown(low: float, high: float, read: str) -> UsageError:
    return UsageError(
        f"has values from {low:g} to {high:g}, and which of them is white cannot be told ({read} "
        "read); save it as an 8-bit PNG"
    )
