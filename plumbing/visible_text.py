"""Text from files that strangers may have written, made fit for a terminal, a page or a log."""

import json
import re
import unicodedata

from plumbing.home import find_home

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
_JOINERS = "\u200c\u200d"
"""Invisible, and part of how Persian words and some emoji are written."""
_SUSPECT = re.compile(r"[^\n\t\x20-\x7e\xa1-\xac\xae-\u02ff]")
"""All that `hidden` may be true of, and more: most text has none of it."""
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def hidden(character: str) -> bool:
    """Whether a character steers a terminal, turns the writing or has no place in a text.

    These are control characters, those that turn the direction of writing, halves of surrogate
    pairs, and code points that stand for nothing.
    """
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def strange(text: str) -> str | None:
    """The first control character or half of a surrogate pair in a text, as U+001B; None if none.

    Blanks and ends of lines are fine.
    """
    found = (c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r")
    first = next(found, None)
    return None if first is None else f"U+{ord(first):04X}"


def visible(text: str, kept: str = "\n\t") -> str:
    """The text with the replacement character for each hidden one but those `kept`."""

    def swap(match: re.Match[str]) -> str:
        character = match[0]
        return "\ufffd" if character not in kept and hidden(character) else character

    return _SUSPECT.sub(swap, text)


def homes() -> list[str]:
    """The user's home folder as it may be written, the longest first; none if it is a whole disk.

    In JSON its backslashes are doubled.
    """
    home = find_home()
    if home is None or home == home.parent:
        return []
    found = {str(each) for each in (home, home.resolve(), home.as_posix())}
    return sorted(found | {json.dumps(each)[1:-1] for each in found}, key=len, reverse=True)


def without_home(text: str) -> str:
    """The text with `~` for the user's home folder, as a shell writes it."""
    for home in homes():
        if home in text:
            # Not a part of another name: /home/anna is in neither /home/annabel nor /mnt/home/anna.
            text = re.sub(rf"(?<![\w.-]){re.escape(home)}(?![\w-])", "~", text)
    return text


def discreet(text: str) -> str:
    """A line for a log: visible, without the user's home folder and without a hub's token."""
    return _TOKEN.sub("hf_…", without_home(visible(text)))


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
