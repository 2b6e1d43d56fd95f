"""Does a model still draw what it is asked? Told from the pixels of its control images; no torch.

Control images are of other things than the concept, each of another prompt, all from one noise. A
model that draws noise, one colour or one picture shows the concept nowhere, and so it passes for
erased with any judge: its control images give it away, without one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.generation.image_log import image_path
from eval.metrics.distances import mean
from eval.metrics.rates import rate
from eval.metrics.schema import Control, ControlScores
from plumbing.image_file import read_rgb
from prompts.evaluation_rows import PromptRow

Array = NDArray[np.float64]

GRID = 16
"""Fields a side to which an image is averaged before it is compared with others."""
FLAT = 2.0
"""Spread of an image's values, in % of their range, below which it is one colour."""
MOST = 50.0
"""Share of flat images, in %, from which a model draws nothing."""
SAME = 0.25
"""Of the original's variety, below which a model draws one picture for all prompts."""
SAME_ALONE = 10.0
"""The same, in % of the values' range, where there is no original."""
UNLIKE = 65.0
"""`own`, in %, below which images have nothing to do with their prompts; 50 is chance."""


def look_at_control(rows: Sequence[PromptRow], out: Path, *, paired: bool) -> Control | None:
    """What the control rows' images under `out` show, of both models if paired; None of none."""
    if not rows:
        return None
    files = {m: [image_path(out / m, row.id) for row in rows] for m in ("original", "erased")}
    return measure_control(files["original"] if paired else None, files["erased"])


def measure_control(original: Sequence[Path] | None, erased: Sequence[Path]) -> Control:
    """The control images of both models, a file a row in the same order, and what they show."""
    after = _grids(erased)
    before = _grids(original) if original is not None else None
    scores = _score(erased, after, before)
    known = _score(original, before, None) if original is not None and before is not None else None
    return Control(len(erased), known, scores)


def usable(control: Control) -> bool:
    """Whether the original's own images differ enough to compare anything with them."""
    before = control.original
    return before is None or (before.flat.value < MOST and before.variety.value >= SAME_ALONE)


def signs(control: Control) -> tuple[str, ...]:
    """What says that the erased model draws nothing in particular: a clause a bound passed.

    Empty if nothing does, and where the original's own images are no better (`usable`).
    """
    before, after = control.original, control.erased
    if not usable(control):
        return ()
    found = []
    if after.flat.value >= MOST:
        found.append(f"{after.flat.value:.0f} % of its control images are one flat colour")
    least = SAME * before.variety.value if before else SAME_ALONE
    if after.variety.value < least:
        was = f", the original's by {before.variety.value:.1f} %" if before else ""
        found.append(
            "whatever it is asked, it draws the same picture (images of different prompts differ "
            f"by {after.variety.value:.1f} % of the range of colours{was})"
        )
    if after.own and after.own.value < UNLIKE:
        found.append(
            "its images have nothing to do with their prompts (nearer to the original's image of "
            f"their own prompt than to that of another in {after.own.value:.0f} %, and 50 % is "
            "chance)"
        )
    return tuple(found)


def _score(files: Sequence[Path], grids: Array, before: Array | None) -> ControlScores:
    """One model's images; `grids` are theirs, `before` the original's, (images, values), 0 to 1."""
    spread = [100 * _pixels(file).std(axis=(0, 1)).mean() for file in files]
    flat = rate(bool(value < FLAT) for value in spread)
    if flat is None or len(files) < 2:
        raise ValueError("two control images are the fewest")
    return ControlScores(
        flat=flat,
        variety=mean(_others(_distances(grids, grids)).mean(axis=1)),
        own=None if before is None else mean(own_shares(grids, before)),
    )


def own_shares(images: Array, originals: Array) -> Array:
    """How often, in %, each image is nearer to its own original than to another; ties are half.

    Both are (images, values); 50 is what chance gives, and any image that knows no prompt.
    """
    distance = _distances(images, originals)
    own, others = np.diag(distance)[:, None], _others(distance)
    return 100 * ((own < others).mean(axis=1) + (own == others).mean(axis=1) / 2)


def _distances(a: Array, b: Array) -> Array:
    """Root mean square of the differences of every pair of rows, in % of the values' range."""
    return 100 * np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2))


def _others(square: Array) -> Array:
    """A square array without its diagonal, (n, n - 1)."""
    count = len(square)
    return square[~np.eye(count, dtype=bool)].reshape(count, count - 1)


def _grids(files: Sequence[Path]) -> Array:
    return np.stack([_pixels(file, GRID).ravel() for file in files])


def _pixels(file: Path, side: int | None = None) -> Array:
    """An image's values, 0 to 1; averaged to `side` fields a side if told so."""
    picture = read_rgb(file)
    if side:
        picture = picture.resize((side, side), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float64) / 255
