"""Text from files that strangers may have written, made fit to be shown; standard library only."""

import re

from prompts.visible import visible

LONGEST = 300
"""Characters of a prompt that are shown."""
_EXPLICIT = re.compile(
    r"\b(nud(e|es|ity|ist)|naked|nsfw|porn\w*|sex\w*|erotic\w*|hentai|undressed|unclothed|topless"
    r"|genital\w*|breasts?|violen\w+|gor[ey]|blood\w*|corpses?|tortur\w+|self.?harm|suicid\w+"
    r"|hat(e|red)|abus\w+|disturbing|shocking|harass\w*)\b",
    re.IGNORECASE,
)


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of visible characters, cut with an … where it is longer.

    Line breaks and blanks become one space. Control characters, those that turn the direction of
    writing and halves of surrogate pairs become the replacement character.
    """
    # What is cut off need not be cleaned: a prompt may be megabytes long.
    start = " ".join(str(text)[: 4 * longest].split())
    shown = visible(start, kept="")
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"


def is_explicit(names: object) -> bool:
    """Whether a concept's name says that its images should not be shown unasked."""
    return bool(_EXPLICIT.search(str(names)))


def escape_markdown(text: object, longest: int = LONGEST) -> str:
    """Text that Markdown shows as it is: no table cell, link, picture, HTML or list comes of it."""
    shown = plain(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = re.sub(r"([\\`*_{}\[\]#|~!@$])", r"\\\1", shown)
    # GitHub makes links of bare addresses.
    return re.sub(r"(?i)(https?|ftp)(:)|(www)(\.)", r"\1\3\\\2\4", shown)
