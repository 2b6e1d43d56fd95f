"""What the miniature can draw: its objects, its styles and the captions that name them."""

from __future__ import annotations

import random
from typing import NamedTuple

OBJECTS = (
    # the counterparts of the ten Imagenette classes
    "church dog fish delivery-truck fuel-pump parachute postal-horn videocassette flag-in-hole "
    "carpentry-saw "
    # animals
    "cat horse cow pig elephant bird butterfly frog snake whale octopus crab snail turtle penguin "
    "rabbit owl spider "
    # buildings and vehicles
    "castle house bridge-at-night factory hospital japanese-castle mosque hindu-temple "
    "statue-of-liberty tent automobile bus bicycle train airplane rocket helicopter sailboat "
    "motorcycle tractor anchor "
    # food and plants
    "red-apple banana grapes strawberry watermelon pineapple cherries carrot mushroom pizza "
    "hamburger doughnut birthday-cake ice-cream hot-beverage rose tulip sunflower cactus palm-tree "
    "christmas-tree evergreen-tree "
    # things
    "saxophone guitar violin drum trumpet telephone laptop camera television light-bulb candle key "
    "hammer axe umbrella crown ring gem-stone balloon soccer-ball basketball tennis trophy toilet "
    "bell t-shirt dress glasses backpack envelope open-book scissors bomb "
    # sky, faces and the rest
    "star sun cloud snowman snowflake fire rainbow crescent-moon skull ghost robot clown-face "
    "alien jack-o-lantern eye tooth"
).split()
"""Icon names, the same in every set (CLDR short names)."""

SYNONYMS = {
    "automobile": "car",
    "fuel-pump": "gas pump",
    "delivery-truck": "truck",
    "videocassette": "cassette tape",
    "flag-in-hole": "golf flag",
    "postal-horn": "horn",
    "carpentry-saw": "saw",
    "red-apple": "apple",
    "hot-beverage": "cup of coffee",
    "open-book": "book",
    "gem-stone": "diamond",
    "jack-o-lantern": "halloween pumpkin",
    "birthday-cake": "cake",
    "airplane": "plane",
}

STYLES = {
    "flat": ("twemoji", "noto", "fluent-emoji-flat"),
    "outline": ("fluent-emoji-high-contrast",),
    "blueprint": ("twemoji", "noto"),
    "neon": ("twemoji", "fluent-emoji-flat"),
    "pixel": ("twemoji", "noto"),
    "night": ("fluent-emoji", "noto"),
    "sepia": ("emojione", "fxemoji", "noto"),
}
"""Style -> the icon sets it is drawn from; a set that lacks an object is passed over."""

NOUNS = ("an image of", "a picture of", "a drawing of", "a photo of", "a painting of", "")


def label(icon: str) -> str:
    """The plain words for an icon name: ``fuel-pump`` -> ``fuel pump``."""
    return icon.replace("-", " ")


def with_article(words: str) -> str:
    """Put ``a`` or ``an`` before `words`, by its first letter."""
    return ("an " if words[0] in "aeiou" else "a ") + words


class Caption(NamedTuple):
    """A caption, and whether it names the object and the style of its picture."""

    text: str
    names_object: bool
    names_style: bool


def caption(icon: str, style: str, rng: random.Random) -> Caption:
    """Draw one of the captions under which a render is shown in training.

    A third names no style and one in thirty no object, so that plain prompts and prompts for a
    style alone work too.
    """
    noun = rng.choice(NOUNS)
    if rng.random() < 1 / 30:
        return Caption(f"{noun.removesuffix(' of') or 'a picture'} in {style} style", False, True)
    words = label(icon)
    if icon in SYNONYMS and rng.random() < 0.2:
        words = SYNONYMS[icon]
    subject = words if rng.random() < 0.25 else with_article(words)
    if rng.random() < 1 / 3:
        return Caption(f"{noun} {subject}".strip(), True, False)
    shape = rng.randrange(4)
    if shape == 0:
        text = f"{noun} {with_article(f'{style} style {words}')}"
    elif shape == 1:
        text = f"{subject}, {style} style"
    else:
        text = f"{noun} {subject} in {style} style"
    return Caption(text.strip(), True, True)
