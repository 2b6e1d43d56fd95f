"""The pictures that a kind shows: pairs of images, the files as thumbnails within the page."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from eval.generation.image_log import Generation, image_path
from eval.kind.measurement import Measurement
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb
from plumbing.visible_text import plain

SIDE = 256
"""Pixels to which larger images are reduced."""
_MODELS = ("original", "erased")


@dataclass(frozen=True)
class Thumbnail:
    """An image of a model, or why it is not there."""

    model: str
    alt: str
    uri: str | None = None
    width: int = 0
    height: int = 0
    problem: str = ""
    seen: str = ""
    """What a judge or detector says of it."""

    @property
    def small(self) -> bool:
        """Whether it is to be enlarged without smoothing."""
        return max(self.width, self.height) <= SIDE // 2


@dataclass(frozen=True)
class Pair:
    """One prompt, drawn by each model from the same noise."""

    prompt: str
    seed: int
    images: tuple[Thumbnail, ...]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pairs under one heading."""

    heading: str
    caption: str
    pairs: tuple[Pair, ...]
    explicit: bool


@dataclass(frozen=True)
class Shot:
    """Which image of which model to show, and what is written below it."""

    model: str
    id: str
    label: str


def make_gallery(
    heading: str,
    caption: str,
    measurement: Measurement,
    ids: Sequence[str],
    *,
    explicit: bool = False,
    seen: Mapping[tuple[str, str], str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Gallery:
    """Pairs by id from an evaluation's folder; `seen` is by id and model, `notes` by id.

    They are veiled if they are, or the run's concept is, `explicit`. An image that is not as it was
    measured is left out, and its place says so.
    """
    models = [model for model in _MODELS if measurement.generations.get(model)]
    strips = [[Shot(model, name, model) for model in models] for name in ids]
    return make_strips(
        heading, caption, measurement, strips, explicit=explicit, seen=seen, notes=notes
    )


def make_strips(
    heading: str,
    caption: str,
    measurement: Measurement,
    strips: Sequence[Sequence[Shot]],
    *,
    explicit: bool = False,
    seen: Mapping[tuple[str, str], str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Gallery:
    """The same of any images of one noise together; the last one's prompt is told."""
    explicit = explicit or measurement.explicit
    found = []
    for number, shots in enumerate(strips, 1):
        rows = [measurement.generations.get(shot.model, {}).get(shot.id) for shot in shots]
        known = next((row for row in reversed(rows) if row), None)
        if known is None:
            continue
        # What an explicit prompt asks for is not told to those who did not ask either.
        what = f"explicit prompt {number}" if explicit else f"“{plain(known.prompt, 120)}”"
        images = tuple(
            _thumbnail(
                measurement.place / shot.model,
                row,
                shot.label,
                f"{shot.model.capitalize()} model's image of {what}",
                (seen or {}).get((shot.id, shot.model), ""),
            )
            for shot, row in zip(shots, rows, strict=True)
        )
        note = (notes or {}).get(shots[-1].id, "")
        found.append(Pair(plain(known.prompt), known.seed, images, note))
    return Gallery(heading, caption, tuple(found), explicit)


def _thumbnail(folder: Path, row: Generation | None, model: str, alt: str, seen: str) -> Thumbnail:
    if row is None:
        return Thumbnail(model, alt, problem="not drawn")
    path = image_path(folder, row.id)
    # The id comes from a file: it must not lead out of the folder.
    if path.parent.name != "images" or path.name != f"{row.id}.png":
        return Thumbnail(model, alt, problem="no such image")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != row.sha256:
            return Thumbnail(model, alt, problem="changed since it was measured")
        uri, size = inline(content)
    except FileNotFoundError:
        return Thumbnail(model, alt, problem="image missing")
    except (OSError, UsageError):
        return Thumbnail(model, alt, problem="image broken")
    return Thumbnail(model, alt, uri, *size, seen=seen)


def inline(content: bytes, side: int = SIDE) -> tuple[Markup, tuple[int, int]]:
    """An image file as a data: URI of at most `side` pixels a side, and its size there."""
    picture = read_rgb(content, "the picture")
    large = max(picture.size) > side
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    # Saved anew, for a file may hold more than its picture: prompts, paths, whatever was put in.
    if large:
        picture.save(file, format="JPEG", quality=85)
    else:
        picture.save(file, format="PNG", optimize=True)
    kind = "jpeg" if large else "png"
    code = base64.b64encode(file.getvalue()).decode()
    return Markup(f"data:image/{kind};base64,{code}"), picture.size
