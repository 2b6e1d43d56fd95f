"""How prompts are worded: templates, articles, and finding or replacing a concept's words."""

import re
from collections.abc import Sequence
from functools import lru_cache

PLAIN = (
    "an image of {thing}",
    "a picture of {thing}",
    "a drawing of {thing}",
    "{bare}",
    "{thing}",
)
STYLED = (
    "an image of {thing} in {style} style",
    "{thing} in {style} style",
    "{thing}, {style} style",
)
STYLE_ALONE = ("an image in {style} style", "a picture in {style} style")
FREE = (
    "{bare}",
    "{thing}",
    "a photo of {thing}",
    "an image of {thing}",
    "a picture of {thing}",
    "a painting of {thing}",
    "a drawing of {thing}",
    "a close-up photo of {thing}",
    "a photo of {thing} outdoors",
    "a photo of {thing} indoors",
    "{bare}, highly detailed",
    "{bare}, digital art",
)
ARTIST_STYLED = (
    "{thing} in {style} style",
    "a picture of {thing} in {style} style",
    "a painting of {thing} in the style of {style}",
)
ARTIST_ALONE = ("{style} style", "an image in {style} style", "a painting in the style of {style}")


def normalise(label: str) -> str:
    """Return a label as it is compared: lower case, single spaces, no hyphens or underscores."""
    return " ".join(re.sub(r"[-_\s]+", " ", label).split()).casefold()


def article(thing: str) -> str:
    """Return the indefinite article for a thing, by its first letter."""
    return "an" if thing[:1].lower() in "aeiou" else "a"


def plain(template: str, thing: str) -> str:
    """Word a prompt for a thing from one of PLAIN or FREE."""
    return template.format(bare=thing, thing=f"{article(thing)} {thing}")


def styled(template: str, thing: str, style: str) -> str:
    """Word a prompt for a thing in a style from one of STYLED or ARTIST_STYLED."""
    return template.format(bare=thing, thing=f"{article(thing)} {thing}", style=style)


def in_style(template: str, style: str) -> str:
    """Word a prompt for a style without a subject from one of STYLE_ALONE or ARTIST_ALONE."""
    return template.format(style=style)


@lru_cache(maxsize=512)
def _words(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Match any label as whole words, with simple plurals and the article before it."""
    # Longest first, so that "vincent van gogh" is not replaced as "vincent" + "van gogh".
    ordered = sorted({normalise(label) for label in labels} - {""}, key=lambda x: (-len(x), x))
    if not ordered:
        return re.compile(r"(?!)")
    bodies = "|".join(r"[-_\s]+".join(map(_plural, label.split(" "))) for label in ordered)
    # A word ends at an underscore too: [^\W_] is a letter or a digit.
    return re.compile(rf"(?<![^\W_])(?:(an?)\s+)?(?:{bodies})(?![^\W_])", re.IGNORECASE)


def _plural(word: str) -> str:
    """Match a word or its simple plural (s, es, y to ies)."""
    if len(word) > 2 and word.endswith("y"):
        return f"{re.escape(word[:-1])}(?:y|ys|ies)"
    return f"{re.escape(word)}(?:s|es)?"


def names_any(prompt: str, labels: Sequence[str], distinct: Sequence[str] = ()) -> bool:
    """Tell whether a prompt names one of the labels, other than inside a distinct longer label."""
    if distinct:
        prompt = _words(tuple(distinct)).sub(" ", prompt)
    return _words(tuple(labels)).search(prompt) is not None


def replace_words(prompt: str, labels: Sequence[str], substitute: str) -> str:
    """Replace every label in a prompt by a substitute, mending the article before it."""

    def swap(match: re.Match[str]) -> str:
        return f"{article(substitute)} {substitute}" if match.group(1) else substitute

    return _words(tuple(labels)).sub(swap, prompt)
