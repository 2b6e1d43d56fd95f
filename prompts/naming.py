"""How a name is found in a prompt or among labels, however either of them is written.

Letters are compared without case, accents, widths and kinds of quotation marks and dashes; words
in singular and plural, without an article; scripts that put no blanks between words by substring.
A name that is merely near is another name.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from prompts.plurals import singulars, variants

_LETTERS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58", "-"),
        # Turkish writes an i without its dot, too, and its capitals do not tell which.
        **{"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"},
    }
)
_UNSEEN = re.compile(
    # Accents, Hebrew and Arabic points, and what has no width: hyphens that may be, joiners,
    # the marks that make a sign an emoji or turn the direction of writing.
    r"[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u0610-\u061a\u0640\u064b-\u065f"
    r"\u0670\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_NO_BLANKS = (
    # Thai, Lao, Tibetan, Myanmar, Hangul (whose particles are written to the word), Khmer.
    r"\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff"
    # Radicals, kana, bopomofo, Han.
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaa7f\ud7b0-\ud7ff\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_NO_BLANKS}]"
"""A letter or digit of a script with blanks: a word goes on with it. An underscore ends one."""
_WHOLE = r"(?![\u11a8-\u11ff\u3099\u309a])"
"""Folded Hangul goes on within a syllable, and a mark makes another kana of one."""
_JOINT = r"[-_\s]+"
_ARTICLE = re.compile(r"\A(?:an?[_\s]+|the[-_\s]+)(?=\S)")
_AROUND = " \t\n\"'.,;:!?\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u3001\u3002"
"""Blanks, and quotation marks and the like, as they are folded."""


class Span(NamedTuple):
    """Where a prompt names something."""

    start: int
    end: int
    article: bool
    """Whether it begins with `a` or `an`."""


def fold(text: str) -> str:
    """The text as letters are compared: no case, accents or widths; plain quotes and dashes."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """Of one character at a time, so that each place in a folded text is one in the text."""
    if character.isspace():
        return " "
    # Twice: a capital may be taken apart, and what small letters it stands for as well.
    small = unicodedata.normalize("NFKD", character.translate(_LETTERS)).casefold()
    return _UNSEEN.sub("", unicodedata.normalize("NFKD", small)).translate(_LETTERS)


def spelled(label: str) -> str:
    """A label in folded letters, with single spaces for blanks, hyphens and underscores."""
    return re.sub(_JOINT, " ", fold(label)).strip()


@lru_cache(maxsize=4096)
def normalise(label: str) -> str:
    """A label as it is compared: spelled plainly, without quotes around it, article and `'s`."""
    folded = fold(label).strip()
    folded = folded.strip(_AROUND) or folded
    bare = re.sub(r"(?<=\w)'s$", "", _ARTICLE.sub("", folded, count=1))
    return spelled(bare) or bare


def without_article(name: str) -> str:
    """A name as it is written, without the `a`, `an` or `the` that it begins with."""
    return re.sub(r"(?i)^(?:an?[_\s]+|the[-_\s]+)(?=\S)", "", name)


def named_labels(names: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that are one of the names, in their order.

    A name that is no label as it stands finds those that it is the plural or the singular of. Of a
    label of several words for one thing, ImageNet's `church, church building`, any will do.
    """
    return _named_labels(tuple(names), tuple(labels))


@lru_cache(maxsize=256)
def _named_labels(names: tuple[str, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
    words = _words_of(labels)
    found: set[str] = set()
    for name in map(normalise, names):
        exact = {label for label in words if name in words[label]}
        found |= exact or {
            label for label in words if any(_differ_in_number(name, word) for word in words[label])
        }
    return tuple(label for label in labels if label in found)


@lru_cache(maxsize=16)
def _words_of(labels: tuple[str, ...]) -> dict[str, set[str]]:
    return {label: set(map(normalise, (label, *label.split(",")))) for label in labels}


def _differ_in_number(one: str, other: str) -> bool:
    """Whether one of two normalised names is the plural of the other, by their last words."""
    (before, _, a), (same, _, b) = one.rpartition(" "), other.rpartition(" ")
    return before == same and (a in singulars(b) or b in singulars(a))


def names_any(prompt: str, labels: Sequence[str], distinct: Sequence[str] = ()) -> bool:
    """Tell whether a prompt names one of the labels, other than inside a distinct longer label."""
    return next(_matches(fold(prompt), labels, distinct), None) is not None


def named_spans(prompt: str, labels: Sequence[str]) -> list[Span]:
    """Where a prompt names the labels, from left to right, with an `a` or `an` before a name."""
    # The places of the prompt's characters in the folded one: each may be several there, or none.
    places = [0, *accumulate(len(fold(character)) for character in prompt)]
    found = []
    for match in _matches(fold(prompt), labels, ()):
        end = bisect_left(places, match.end())
        if places[end] == match.end():
            # Accents and the like after the last letter are of it.
            end = bisect_right(places, match.end()) - 1
        start = bisect_right(places, match.start()) - 1
        found.append(Span(start, end, article=match["article"] is not None))
    return found


def _matches(text: str, labels: Sequence[str], distinct: Sequence[str]) -> Iterator[re.Match[str]]:
    """Where a folded text names one of the labels, other than inside a distinct longer one."""
    longer = [m.span("name") for m in _pattern(tuple(distinct)).finditer(text)] if distinct else []
    for match in _pattern(tuple(labels)).finditer(text):
        start, end = match.span("name")
        if not any(a <= start and end <= b and b - a > end - start for a, b in longer):
            yield match


@lru_cache(maxsize=512)
def _pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Match any label in a folded text, as whole words in singular or plural."""
    # Longest first, so that "vincent van gogh" is not replaced as "vincent" + "van gogh".
    ordered = sorted({normalise(label) for label in labels} - {""}, key=lambda x: (-len(x), x))
    if not ordered:
        return re.compile(r"(?!)")
    bodies = "|".join(map(_body, ordered))
    return re.compile(rf"(?:(?<!{_LETTER})(?P<article>an?)\s+)?(?P<name>{bodies})")


def _body(label: str) -> str:
    words = [sorted(variants(word), key=lambda x: (-len(x), x)) for word in label.split(" ")]
    joined = _JOINT.join("(?:" + "|".join(map(re.escape, each)) + ")" for each in words)
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, label) else ""
    after = rf"(?!{_LETTER})" if re.match(_LETTER, label[-1]) else _WHOLE
    return f"{before}{joined}{after}"
