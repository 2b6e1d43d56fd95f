"""Prompt lists that are built, not written: from a model's vocabulary or from templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

from prompts.wording import (
    ARTIST_ALONE,
    ARTIST_STYLED,
    FREE,
    PLAIN,
    PROBES,
    STYLE_ALONE,
    STYLE_PROBES,
    STYLED,
    in_style,
    named_freely,
    plain,
    styled,
)

RETAIN_PROMPTS = 300
SUBJECTS = ("church", "dog", "house", "tree", "portrait", "landscape", "city street", "sunflower")


@dataclass(frozen=True)
class BuiltPrompts:
    """The prompt lists of one concept, as built."""

    forget: tuple[str, ...]
    relabel: tuple[str, ...]
    substitutes: tuple[str, ...]
    fixed_relabel: str | None
    retain: tuple[str, ...]


def shuffled(items: Sequence[str], salt: str) -> tuple[str, ...]:
    """Return the items in an order that any subset of them keeps."""
    return tuple(sorted(items, key=lambda item: sha256(f"{salt}|{item}".encode()).digest()))


def balanced(objects: Sequence[str], styles: Sequence[str], minimum: int) -> tuple[str, ...]:
    """Word every object equally often, plain and in the styles, at least `minimum` prompts.

    A prefix of the result is balanced too, over objects and over styles.
    """
    order = shuffled(objects, "objects")
    prompts: dict[str, None] = {}
    # Past this many rounds every template has met every object and style, plain and styled.
    most = 2 * max(len(PLAIN), len(STYLED) * max(1, len(styles)))
    for turn in range(most):
        if len(prompts) >= minimum and turn >= 2:
            break
        for place, thing in enumerate(order):
            if styles and (place + turn) % 2:
                style = styles[(place // 2 + turn) % len(styles)]
                prompts[styled(STYLED[(place + turn // 2) % len(STYLED)], thing, style)] = None
            else:
                prompts[plain(PLAIN[(place + turn // 2) % len(PLAIN)], thing)] = None
    return tuple(prompts)


def for_object(own: Sequence[str], others: Sequence[str], styles: Sequence[str]) -> BuiltPrompts:
    """Build the prompts of an object that the vocabulary names."""
    forget = [plain(template, thing) for thing in own for template in PLAIN]
    forget += [styled(t, thing, style) for thing in own for t in STYLED for style in styles]
    return BuiltPrompts(
        forget=tuple(forget),
        relabel=tuple(plain(PLAIN[0], thing) for thing in others),
        substitutes=tuple(others),
        fixed_relabel=plain(PLAIN[0], _next(own[-1], others)) if others else None,
        retain=balanced(others, styles, RETAIN_PROMPTS),
    )


def for_style(own: Sequence[str], objects: Sequence[str], others: Sequence[str]) -> BuiltPrompts:
    """Build the prompts of a style that the vocabulary names."""
    forget = [in_style(template, style) for style in own for template in STYLE_ALONE]
    for place, thing in enumerate(shuffled(objects, "forget")):
        forget += [styled(STYLED[place % len(STYLED)], thing, style) for style in own]
    return BuiltPrompts(
        forget=tuple(forget),
        relabel=tuple(in_style(STYLE_ALONE[0], style) for style in others)
        or tuple(plain(PLAIN[0], thing) for thing in objects),
        substitutes=tuple(others),
        fixed_relabel=in_style(STYLE_ALONE[0], _next(own[-1], others)) if others else None,
        retain=balanced(objects, others, RETAIN_PROMPTS),
    )


def for_unknown(
    name: str, is_style: bool, objects: Sequence[str], styles: Sequence[str]
) -> BuiltPrompts:
    """Build the prompts of a concept that no vocabulary names, from templates."""
    if is_style:
        forget = [in_style(template, name) for template in ARTIST_ALONE]
        forget += [styled(t, thing, name) for thing in SUBJECTS for t in ARTIST_STYLED]
    else:
        forget = [named_freely(template, name) for template in FREE]
    retain = balanced(objects, styles, RETAIN_PROMPTS) if objects else shipped_retain_prompts()
    return BuiltPrompts(
        forget=tuple(dict.fromkeys(forget)),
        relabel=retain,
        substitutes=(),
        fixed_relabel=None,
        retain=retain,
    )


def for_probes(labels: Sequence[str], is_style: bool) -> tuple[str, ...]:
    """Build other ways to ask for a concept: its words in long and odd sentences, and misspelt."""
    if is_style:
        built = [in_style(template, label) for label in labels for template in STYLE_PROBES]
        built += [in_style(STYLE_ALONE[0], misspelt(label)) for label in labels]
    else:
        built = [named_freely(template, label) for label in labels for template in PROBES]
        built += [named_freely(PLAIN[0], misspelt(label)) for label in labels]
    return tuple(dict.fromkeys(built))


def misspelt(label: str) -> str:
    """The label with two letters in the middle of its longest word in each other's place."""
    word = max(label.split(), key=len)
    middle = len(word) // 2
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return label.replace(word, swapped, 1) if len(word) > 3 else label


@lru_cache(maxsize=1)
def shipped_retain_prompts() -> tuple[str, ...]:
    """Return the shipped varied prompts, one a line of `retain.txt`."""
    text = files("prompts").joinpath("retain.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.split("\n"))
    return tuple(line for line in lines if line and not line.startswith("#"))


def _next(own: str, others: Sequence[str]) -> str:
    """Return the label after a concept's own in the alphabet, around the end (SalUn: class + 1)."""
    return min((o for o in others if o > own), default=min(others))
