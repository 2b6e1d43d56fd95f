"""How prompts are worded: templates, articles, and another word for a concept's."""

from collections.abc import Sequence

from prompts.naming import fold, named_spans
from prompts.plurals import is_plural

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
PROBES = (
    "{thing} far away",
    "one more {bare} please",
    "{thing} of which there is no other",
    "{bare} {bare} {bare}",
    "on a grey morning in autumn, with people and trees all around, there stands {thing}",
    "a postcard that shows {thing}",
    "what a child draws that is asked for {thing}",
)
STYLE_PROBES = (
    "as {style} would have it",
    "{style} {style} {style}",
    "a copy of something in {style} style",
    "on a grey morning in autumn, with people and trees all around, in {style} style",
)
"""Wordings that erasing is not trained on; see `built_lists.for_probes`."""
ARTIST_ALONE = ("{style} style", "an image in {style} style", "a painting in the style of {style}")


def article(thing: str) -> str:
    """Return the indefinite article for a thing, by its first letter."""
    return "an" if fold(thing)[:1] in tuple("aeiou") else "a"


def plain(template: str, thing: str) -> str:
    """Word a prompt for a thing from one of PLAIN or FREE."""
    return template.format(bare=thing, thing=f"{article(thing)} {thing}")


def styled(template: str, thing: str, style: str) -> str:
    """Word a prompt for a thing in a style from one of STYLED or ARTIST_STYLED."""
    return template.format(bare=thing, thing=f"{article(thing)} {thing}", style=style)


def in_style(template: str, style: str) -> str:
    """Word a prompt for a style without a subject from one of STYLE_ALONE or ARTIST_ALONE."""
    return template.format(style=style)


def named_freely(template: str, name: str) -> str:
    """Word a prompt from one of FREE for whatever a user names.

    Plurals, and names with an article of their own, get none.
    """
    words = fold(name).split()
    bare = words[0] in ("a", "an", "the") or is_plural(words[-1])
    return template.format(bare=name, thing=name if bare else f"{article(name)} {name}")


def replace_words(prompt: str, labels: Sequence[str], substitute: str) -> str:
    """Replace every label in a prompt by a substitute, mending the article before it."""
    parts, done = [], 0
    for start, end, led in named_spans(prompt, labels):
        parts += [prompt[done:start], f"{article(substitute)} {substitute}" if led else substitute]
        done = end
    return "".join((*parts, prompt[done:]))
