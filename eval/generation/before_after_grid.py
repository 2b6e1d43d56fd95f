"""A before/after picture: the same prompts and noise, the original above, the erased below."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFont

from plumbing.image_file import read_rgb
from plumbing.visible_text import plain
from plumbing.whole_files import replace_file

T = TypeVar("T")

CELL = 128
"""Pixels a side at which an image is shown, at least."""
GAP = 10
MARGIN = 24
LABEL_WIDTH = 132
CAPTION_LINES = 3
INK, FAINT, FRAME, PAPER = "#1b1b1b", "#5c5c5c", "#d8d8d8", "#ffffff"


@dataclass(frozen=True)
class Section:
    """One block of the picture: a heading, and a column a prompt."""

    heading: str
    captions: Sequence[str]
    images: Sequence[Sequence[Path]]
    """Image files, a row a model, a column a caption."""


def spread(items: Sequence[T], count: int, key: Callable[[T], object] = lambda item: item) -> list:
    """`count` of the items with distinct keys, in their order: drawn by a hash, not by result.

    Evenly spaced ones would all be of one style wherever the styles take turns.
    """
    distinct = list({key(item): item for item in reversed(items)}.values())[::-1]
    drawn = {k for k in sorted(map(key, distinct), key=_lot)[:count]}
    return [item for item in distinct if key(item) in drawn]


def _lot(key: object) -> bytes:
    return sha256(repr(key).encode("ascii", "backslashreplace")).digest()


def draw_grid(path: Path, title: str, models: Sequence[str], sections: Sequence[Section]) -> None:
    """Write the picture as PNG: each section has a labelled row for every model.

    Small images are enlarged by a whole factor without smoothing, large ones are reduced.
    """
    sections = [_shown(section) for section in sections if section.captions]
    title, models = plain(title), [plain(model) for model in models]
    heading, body, small = (ImageFont.load_default(size) for size in (21, 15, 13))
    cell = _cell_size(sections)
    columns = max(len(section.captions) for section in sections)
    width = 2 * MARGIN + LABEL_WIDTH + columns * (cell + GAP)
    block = 34 + len(models) * (cell + GAP) + CAPTION_LINES * 17 + 14
    canvas = Image.new("RGB", (width, 2 * MARGIN + 62 + len(sections) * block), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 6), title, INK, font=heading)
    note = "Each column: one prompt, drawn from the same noise by both models."
    if len(models) > 1:
        draw.text((MARGIN, MARGIN + 24), note, FAINT, font=small)
    for index, section in enumerate(sections):
        top = MARGIN + 62 + index * block
        draw.line((MARGIN, top - 8, width - MARGIN, top - 8), fill=FRAME)
        draw.text((MARGIN, top), section.heading, INK, font=body)
        _draw_section(canvas, draw, section, models, (top + 34, cell), (body, small))
    picture = BytesIO()
    canvas.save(picture, format="PNG", optimize=True)
    replace_file(path, picture.getvalue())


def _shown(section: Section) -> Section:
    captions = [plain(caption) for caption in section.captions]
    return replace(section, heading=plain(section.heading), captions=captions)


def _draw_section(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    section: Section,
    models: Sequence[str],
    place: tuple[int, int],
    fonts: tuple[ImageFont.ImageFont | ImageFont.FreeTypeFont, ...],
) -> None:
    (top, cell), (body, small) = place, fonts
    left = MARGIN + LABEL_WIDTH
    for row, (model, files) in enumerate(zip(models, section.images, strict=True)):
        y = top + row * (cell + GAP)
        label = "\n".join(_wrap(model, LABEL_WIDTH - 12, body, 4))
        draw.multiline_text((MARGIN, y + cell // 2), label, INK, font=body, anchor="lm", spacing=5)
        for column, file in enumerate(files):
            x = left + column * (cell + GAP)
            # A frame, for most small pictures are white at the edges, as the paper is.
            draw.rectangle((x - 1, y - 1, x + cell, y + cell), outline=FRAME)
            canvas.paste(_fit(file, cell), (x, y))
    y = top + len(models) * (cell + GAP) - 2
    for column, caption in enumerate(section.captions):
        text = "\n".join(_wrap(caption, cell, small, CAPTION_LINES))
        draw.multiline_text((left + column * (cell + GAP), y), text, FAINT, font=small, spacing=3)


def _cell_size(sections: Sequence[Section]) -> int:
    side = max(read_rgb(sections[0].images[0][0]).size)
    return side * -(-CELL // side) if side < CELL else CELL + CELL // 2


def _fit(file: Path, cell: int) -> Image.Image:
    picture = read_rgb(file)
    scale = cell / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    enlarge = scale >= 1
    return picture.resize(size, Image.Resampling.NEAREST if enlarge else Image.Resampling.LANCZOS)


def _wrap(
    text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, limit: int
) -> list[str]:
    """Lines no wider than `width` pixels, at most `limit`; an … marks what is cut off."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > limit:
        lines = [*lines[: limit - 1], f"{lines[limit - 1]} …"]
    return [_shorten(line, width, font) for line in lines]


def _shorten(line: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"
