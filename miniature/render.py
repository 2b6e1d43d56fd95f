"""Icons to 64x64 pictures: one filter a style, light augmentation, held-out grounds and places."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import resvg_py
from PIL import Image, ImageFilter
from tqdm import tqdm

from miniature.fetch import fetch
from miniature.world import OBJECTS, STYLES

SIZE = 64
MASTER = 256  # icons are rasterised once at this size, then scaled down for each variant

Colour = tuple[int, int, int]
GROUNDS: dict[str, tuple[Colour, ...]] = {
    "flat": ((255, 255, 255), (255, 255, 255), (250, 240, 225), (228, 240, 250), (232, 246, 230)),
    "pixel": ((255, 255, 255), (255, 255, 255), (250, 240, 225), (228, 240, 250)),
    "night": ((20, 20, 44), (28, 24, 52), (16, 26, 48)),
    "outline": ((255, 255, 255), (248, 248, 244)),
    "blueprint": ((25, 70, 150), (30, 80, 160), (20, 62, 140)),
    "neon": ((14, 8, 24), (10, 10, 18)),
    "sepia": ((250, 236, 206), (244, 228, 196)),
}
HELD_OUT: dict[str, Colour] = {
    "flat": (248, 230, 236),
    "pixel": (248, 230, 236),
    "night": (24, 32, 60),
    "outline": (242, 244, 248),
    "blueprint": (36, 66, 148),
    "neon": (20, 14, 20),
    "sepia": (240, 230, 206),
}
"""Grounds that no training picture has: what the judges are tested on."""


class Render(NamedTuple):
    """One picture: uint8 [64, 64, 3], with the indices of its object and style."""

    pixels: np.ndarray
    object: int
    style: int


def svg(icons: dict[str, Any], name: str) -> str | None:
    """Build the SVG document of one icon from an iconify set, or None if the set lacks it."""
    icon = icons["icons"].get(name)
    alias = icons.get("aliases", {}).get(name)
    if icon is None and alias is not None:
        icon = icons["icons"].get(alias["parent"])
    if icon is None:
        return None
    side = {**{"left": 0, "top": 0}, **{k: icons.get(k, 16) for k in ("width", "height")}, **icon}
    box = f"{side['left']} {side['top']} {side['width']} {side['height']}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{side["width"]}" height="{side["height"]}">{icon["body"]}</svg>'
    )


def rasterise(document: str) -> Image.Image:
    """Render an SVG document to RGBA, its longer side 256 px."""
    png = resvg_py.svg_to_bytes(svg_string=document, width=MASTER, height=MASTER)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def place(icon: Image.Image, scale: int, dx: int, dy: int, mirror: bool) -> Image.Image:
    """Scale an RGBA icon to `scale` px and put it on a transparent 64x64 canvas."""
    small = icon.resize((scale, max(1, round(scale * icon.height / icon.width))), Image.LANCZOS)
    if mirror:
        small = small.transpose(Image.FLIP_LEFT_RIGHT)
    canvas = Image.new("RGBA", (SIZE, SIZE))
    canvas.paste(small, ((SIZE - small.width) // 2 + dx, (SIZE - small.height) // 2 + dy))
    return canvas


def on_ground(icon: Image.Image, ground: Colour) -> np.ndarray:
    """Composite an RGBA canvas over a plain ground: float [64, 64, 3] in 0..255."""
    canvas = Image.new("RGBA", icon.size, (*ground, 255))
    canvas.alpha_composite(icon)
    return np.asarray(canvas.convert("RGB"), dtype=np.float32)


def edges(icon: Image.Image) -> np.ndarray:
    """Strength of the outlines of an RGBA canvas: float [64, 64, 1] in 0..1.

    Alpha counts as a colour, so that a white icon has an outline too.
    """
    alpha = np.asarray(icon.getchannel("A"), np.float32)[..., None]
    pixels = np.concatenate([on_ground(icon, (255, 255, 255)), alpha], axis=-1)
    across = np.abs(np.diff(pixels, axis=1, append=pixels[:, -1:])).max(-1, keepdims=True)
    down = np.abs(np.diff(pixels, axis=0, append=pixels[-1:])).max(-1, keepdims=True)
    return np.clip((np.maximum(across, down) - 20) / 64, 0, 1)


def blueprint(icon: Image.Image, ground: Colour) -> np.ndarray:
    """White lines on blue paper."""
    line = edges(icon)
    return line * np.float32([235, 245, 255]) + (1 - line) * np.float32(ground)


def neon(icon: Image.Image, ground: Colour) -> np.ndarray:
    """Outlines that glow in the icon's own colours on a dark ground."""
    line = edges(icon)
    sheet = Image.fromarray((line[..., 0] * 255).astype(np.uint8))
    glow = np.asarray(sheet.filter(ImageFilter.GaussianBlur(2)), np.float32)[..., None] / 255
    spread = Image.fromarray(on_ground(icon, (0, 0, 0)).astype(np.uint8))
    colour = np.asarray(spread.filter(ImageFilter.MaxFilter(5)), np.float32)
    colour = colour / np.maximum(colour.max(-1, keepdims=True), 60)
    light = np.clip(line * 0.8 + glow * 1.2, 0, 1)
    return light * np.clip(colour * 220 + 60, 0, 255) + (1 - light) * np.float32(ground)


def pixel(icon: Image.Image, ground: Colour) -> np.ndarray:
    """A 16x16 sprite."""
    picture = Image.fromarray(on_ground(icon, ground).astype(np.uint8))
    small = picture.resize((16, 16), Image.BOX)
    return np.asarray(small.resize((SIZE, SIZE), Image.NEAREST), np.float32)


def sepia(icon: Image.Image, ground: Colour) -> np.ndarray:
    """Brown tones on old paper."""
    grey = on_ground(icon, (255, 255, 255)) @ np.float32([0.299, 0.587, 0.114]) / 255
    return grey[..., None] * np.float32(ground) + (1 - grey[..., None]) * np.float32([70, 40, 15])


FILTERS = {
    "flat": on_ground,
    "outline": on_ground,
    "night": on_ground,
    "blueprint": blueprint,
    "neon": neon,
    "pixel": pixel,
    "sepia": sepia,
}


def load_icons(folder: Path) -> dict[tuple[str, str], Image.Image]:
    """Rasterise every (icon set, object) that exists and that some style uses."""
    sets = sorted({name for names in STYLES.values() for name in names})
    icons = {}
    for icon_set in tqdm(sets, desc="icons", unit="set"):
        data = fetch(icon_set, folder)
        for name in OBJECTS:
            if document := svg(data, name):
                icons[icon_set, name] = rasterise(document)
    return icons


def render_all(
    icons: dict[tuple[str, str], Image.Image], variants: int, seed: int, held_out: bool = False
) -> Iterator[Render]:
    """Yield `variants` renders of every object in every icon set of every style.

    Held-out renders have grounds, sizes and offsets that the training ones never have.
    """
    rng = random.Random(seed)
    for s, (style, sets) in enumerate(STYLES.items()):
        for o, name in enumerate(OBJECTS):
            for icon in (icons[key] for i in sets if (key := (i, name)) in icons):
                for _ in range(variants):
                    scale = rng.choice((51, 59) if held_out else (54, 55, 56, 57, 58, 60, 61))
                    reach = (-3, 3) if held_out else (-2, -1, 0, 1, 2)
                    dx, dy = rng.choice(reach), rng.choice(reach)
                    canvas = place(icon, scale, dx, dy, rng.random() < 0.3)
                    ground = HELD_OUT[style] if held_out else rng.choice(GROUNDS[style])
                    pixels = FILTERS[style](canvas, ground)
                    yield Render(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), o, s)


def stack(renders: Iterator[Render]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stack renders: pixels uint8 [N, 64, 64, 3], objects [N] and styles [N] int64."""
    pixels, objects, styles = zip(*tqdm(renders, desc="renders", unit="image"), strict=True)
    return np.stack(pixels), np.array(objects), np.array(styles)
